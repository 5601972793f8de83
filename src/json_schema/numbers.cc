// SPDX-License-Identifier: Apache-2.0
#include "json_schema/numbers.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <string>
#include <tuple>

namespace redoubt::json_schema {
namespace {

// A number's magnitude in decimal digits: 0.5 is "0" and "5". No zeros lead the whole or end the fraction.
struct Decimal {
  bool negative = false;
  std::string whole = "0", fraction = {};
  bool is_zero() const { return whole == "0" && fraction.empty(); }
};

// Reads what the JSON library writes: digits, perhaps a fraction, perhaps an exponent.
Decimal decimal_of(const Json& number) {
  std::string text = number.dump();
  Decimal out;
  out.negative = text.starts_with('-');
  text.erase(0, out.negative);
  int exponent = 0;
  if (const auto e = text.find('e'); e != std::string::npos) {
    const auto digits = text.substr(e + (text[e + 1] == '+' ? 2 : 1));
    std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    text.erase(e);
  }
  const auto point = std::min(text.find('.'), text.size());
  std::string digits = text.substr(0, point) + (point < text.size() ? text.substr(point + 1) : "");
  auto whole = static_cast<int>(point) + exponent;  // digits before the point
  if (whole < 0) digits.insert(0, static_cast<std::size_t>(-whole), '0'), whole = 0;
  if (whole > static_cast<int>(digits.size())) digits.append(static_cast<std::size_t>(whole) - digits.size(), '0');
  out.whole = digits.substr(0, static_cast<std::size_t>(whole));
  out.fraction = digits.substr(static_cast<std::size_t>(whole));
  out.whole.erase(0, std::min(out.whole.find_first_not_of('0'), out.whole.size()));
  if (out.whole.empty()) out.whole = "0";
  while (out.fraction.ends_with('0')) out.fraction.pop_back();
  if (out.is_zero()) out.negative = false;
  return out;
}

// One end of a range of magnitudes.
struct Bound {
  Decimal at = {};
  bool excluded = false;
};

struct Digits {
  std::size_t together_max;
  bool fraction;
};

// Magnitudes from `low` to `high` (none: without end), digit by digit. While what was written equals the beginning of a bound, the
// bound limits the next digit; a state is made only if a whole number can follow.
class Magnitudes {
 public:
  Magnitudes(Grammar& grammar, const Bound& low, const std::optional<Bound>& high, Digits digits, StateId to)
      : grammar_(grammar), low_(low), high_(high), digits_(digits), to_(to) {}

  void add(StateId from) {
    const auto longest = high_ ? std::min(high_->at.whole.size(), digits_.together_max) : digits_.together_max;
    for (std::size_t length = low_.at.whole.size(); length <= longest; ++length)
      connect(from, {length, 0, false, length == low_.at.whole.size(), high_ && length == high_->at.whole.size()});
  }

 private:
  struct Place {
    std::size_t length;  // digits of the whole
    std::size_t at;      // digits written of this part
    bool in_fraction, on_low, on_high;
    auto operator<=>(const Place&) const = default;
  };

  static int digit_of(const std::string& digits, std::size_t at) { return at < digits.size() ? digits[at] - '0' : 0; }

  // The edges of `state` for the digits that may come at `place`; whether any may.
  bool connect(StateId state, const Place& place) {
    bool live = false;
    const auto& part = [&](const Bound& bound) -> const std::string& { return place.in_fraction ? bound.at.fraction : bound.at.whole; };
    const int low = place.on_low ? digit_of(part(low_), place.at) : 0, high = place.on_high ? digit_of(part(*high_), place.at) : 9;
    const bool leads = !place.in_fraction && place.at == 0 && place.length > 1;
    for (int digit = std::max<int>(low, leads); digit <= high; ++digit) {
      Place next = place;
      ++next.at;
      next.on_low = place.on_low && digit == low;
      next.on_high = place.on_high && digit == high;
      const auto to = after(next);
      if (!to) continue;
      const auto byte = static_cast<std::uint8_t>('0' + digit);
      grammar_.bytes(state, byte, byte, *to);
      live = true;
    }
    return live;
  }

  // The state once a digit is written, or nothing if no number can come of it.
  std::optional<StateId> after(const Place& place) {
    if (const auto found = known_.find(place); found != known_.end()) return found->second;
    const auto state = grammar_.add_state();
    bool live = false;
    const bool whole_done = place.in_fraction || place.at == place.length;
    if (whole_done && may_end(place)) {
      grammar_.free(state, {to_});
      live = true;
    }
    if (!whole_done) {
      live = connect(state, place);
    } else if (digits_.fraction && place.length + (place.in_fraction ? place.at : 0) < digits_.together_max) {
      Place next = place;
      if (place.in_fraction) {
        live = connect(state, next) || live;
      } else {
        next.in_fraction = true, next.at = 0;
        const auto point = grammar_.add_state();
        if (connect(point, next)) grammar_.bytes(state, '.', '.', point), live = true;
      }
    }
    return known_[place] = live ? std::optional(state) : std::nullopt;
  }

  bool may_end(const Place& place) const {
    const auto written = place.in_fraction ? place.at : 0;
    const auto rest = [&](const Bound& bound) { return written < bound.at.fraction.size(); };
    if (place.on_low && (rest(low_) || low_.excluded)) return false;
    return !(place.on_high && !rest(*high_) && high_->excluded);
  }

  Grammar& grammar_;
  const Bound& low_;
  const std::optional<Bound>& high_;
  const Digits digits_;
  const StateId to_;
  std::map<Place, std::optional<StateId>> known_ = {};
};

void add_bounded(Grammar& grammar, StateId from, const NumberBounds& bounds, Digits digits, StateId to) {
  std::optional<Bound> least, most;
  if (bounds.least) least = Bound{decimal_of(*bounds.least), bounds.least_excluded};
  if (bounds.most) most = Bound{decimal_of(*bounds.most), bounds.most_excluded};
  // Not below zero.
  if (!most || !most->at.negative) Magnitudes(grammar, least && !least->at.negative ? *least : Bound{}, most, digits, to).add(from);
  // Below zero: the magnitudes the other way round.
  if (least && !least->at.negative) return;
  const auto minus = grammar.add_state();
  const Bound low = most && most->at.negative ? *most : Bound{{}, true};
  Magnitudes(grammar, low, least, digits, to).add(minus);
  grammar.bytes(from, '-', '-', minus);
}

// One to `most` digits; the state behind the first is the answer, every later one may end as well.
void add_digits(Grammar& grammar, StateId from, std::size_t most, StateId to) {
  for (std::size_t i = 0; i < most; ++i) {
    const auto next = grammar.add_state();
    grammar.bytes(from, '0', '9', next);
    grammar.free(next, {to});
    from = next;
  }
}

void add_whole(Grammar& grammar, StateId from, StateId to) {
  const auto first = grammar.add_state();
  grammar.bytes(from, '0', '0', to);
  grammar.bytes(from, '1', '9', first);
  grammar.free(first, {to});
  add_digits(grammar, first, kIntegerDigitsMax - 1, to);
}

}  // namespace

void add_integer(Grammar& grammar, StateId from, const NumberBounds& bounds, StateId to) {
  add_bounded(grammar, from, bounds, {kIntegerDigitsMax, false}, to);
}

void add_number(Grammar& grammar, StateId from, const NumberBounds& bounds, StateId to) {
  if (!bounds.unbounded()) return add_bounded(grammar, from, bounds, {kDecimalDigitsMax, true}, to);
  const auto unsigned_number = grammar.add_state(), whole = grammar.add_state(), point = grammar.add_state(), mantissa = grammar.add_state(),
             exponent = grammar.add_state(), signed_exponent = grammar.add_state();
  grammar.bytes(from, '-', '-', unsigned_number);
  grammar.free(from, {unsigned_number});
  add_whole(grammar, unsigned_number, whole);
  grammar.free(whole, {mantissa});
  grammar.bytes(whole, '.', '.', point);
  add_digits(grammar, point, 17, mantissa);
  grammar.free(mantissa, {to});
  for (const char e : {'e', 'E'}) grammar.bytes(mantissa, static_cast<std::uint8_t>(e), static_cast<std::uint8_t>(e), exponent);
  for (const char sign : {'+', '-'}) grammar.bytes(exponent, static_cast<std::uint8_t>(sign), static_cast<std::uint8_t>(sign), signed_exponent);
  grammar.free(exponent, {signed_exponent});
  add_digits(grammar, signed_exponent, 2, to);
}

}  // namespace redoubt::json_schema
