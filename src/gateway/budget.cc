// SPDX-License-Identifier: Apache-2.0
#include "gateway/budget.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/json.h"
#include "base/log.h"

namespace redoubt::gateway {
namespace {

enum class Period { minute, day, month };
enum class Unit { requests, tokens, money };

struct MeterKind {
  const char* name;
  std::int64_t UseLimits::*limit;
  Unit unit;
  Period period;
};
constexpr MeterKind kMeters[] = {{"requests_per_minute", &UseLimits::requests_per_minute, Unit::requests, Period::minute},
                                 {"requests_per_day", &UseLimits::requests_per_day, Unit::requests, Period::day},
                                 {"tokens_per_minute", &UseLimits::tokens_per_minute, Unit::tokens, Period::minute},
                                 {"tokens_per_day", &UseLimits::tokens_per_day, Unit::tokens, Period::day},
                                 {"money_per_day", &UseLimits::money_per_day, Unit::money, Period::day},
                                 {"money_per_month", &UseLimits::money_per_month, Unit::money, Period::month}};
constexpr std::size_t kMeterCount = std::size(kMeters), kRequestsOfMinute = 0, kTokensOfMinute = 2;
constexpr std::size_t kAccountsMax = 100'000, kBookBytesMax = 64 << 20;
constexpr std::int64_t kMillion = 1'000'000;
constexpr std::int64_t kLimitMax = std::int64_t{1} << 42;  // so that a million times it fits 64 bits

TimePoint begin_of(Period period, TimePoint time) {
  if (period == Period::minute) return std::chrono::floor<std::chrono::minutes>(time);
  const auto day = std::chrono::floor<std::chrono::days>(time);
  if (period == Period::day) return day;
  const std::chrono::year_month_day date(day);
  return std::chrono::sys_days(date.year() / date.month() / 1);
}

TimePoint end_of(Period period, TimePoint time) {
  const auto begin = begin_of(period, time);
  if (period == Period::minute) return begin + std::chrono::minutes(1);
  if (period == Period::day) return begin + std::chrono::days(1);
  const std::chrono::year_month_day date(std::chrono::floor<std::chrono::days>(begin));
  return std::chrono::sys_days((date.year() / date.month() + std::chrono::months(1)) / 1);
}

int seconds_to(TimePoint end, TimePoint now) { return static_cast<int>(std::max<std::int64_t>(1, ((end - now).count() + 999) / 1000)); }

void note_refusal(std::optional<BudgetRefusal>& refused, const MeterKind& kind, TimePoint now) {
  const int retry_s = seconds_to(end_of(kind.period, now), now);
  if (!refused || retry_s > refused->retry_s) refused = BudgetRefusal{kind.name, retry_s};
}

// Money is counted in millionths of what limits are in, so that it needs no rounding.
std::int64_t use_of(Unit unit, const Prices& prices, TokenUse tokens) {
  if (unit == Unit::requests) return 0;
  return unit == Unit::tokens ? tokens.prompt + tokens.answer : tokens.prompt * prices.prompt + tokens.answer * prices.answer;
}

std::int64_t limit_of(const MeterKind& kind, const UseLimits& limits) {
  const auto limit = std::min(limits.*kind.limit, kLimitMax);
  return kind.unit == Unit::money ? limit * kMillion : limit;
}

}  // namespace

class BudgetState {
 public:
  struct Meter {
    TimePoint begin{};
    std::int64_t used = 0;
  };
  struct Account {
    UseLimits limits;
    std::array<Meter, kMeterCount> meters{};
  };

  // A period that is over is forgotten. Where the clock was set back, what was used counts in the period that it is now: else nothing
  // would count until that time comes again.
  void follow(const std::string& account, TimePoint now) {
    auto& meters = accounts[account].meters;
    for (std::size_t i = 0; i < kMeterCount; ++i) {
      const auto begin = begin_of(kMeters[i].period, now);
      if (meters[i].begin < begin) meters[i].used = 0;
      meters[i].begin = begin;
    }
  }

  std::int64_t used(const std::string& account, std::size_t index) { return accounts[account].meters[index].used; }

  // Who comes with a token may be anybody: accounts that used nothing this month go when there are many.
  void forget(TimePoint now) {
    if (accounts.size() < kAccountsMax) return;
    const auto month = begin_of(Period::month, now);
    std::erase_if(accounts, [&](const auto& account) {
      return std::all_of(account.second.meters.begin(), account.second.meters.end(), [&](const auto& meter) { return meter.begin < month; });
    });
  }

  void add(const std::vector<std::string>& names, const Prices& prices, TokenUse tokens, std::int64_t requests, TimePoint time) {
    ++changes;
    latest = time;
    for (const auto& name : names)
      for (std::size_t i = 0; i < kMeterCount; ++i) {
        auto& one = accounts[name].meters[i];
        // What was reserved in a period that is over was forgotten with it.
        if (one.begin > begin_of(kMeters[i].period, time)) continue;
        one.used += kMeters[i].unit == Unit::requests ? requests : use_of(kMeters[i].unit, prices, tokens);
      }
  }

  Json to_json() const;
  Status restore(const Json& saved);

  std::mutex mutex;
  std::map<std::string, Account> accounts;
  std::uint64_t changes = 0;
  TimePoint latest{};  // when something last changed
};

// Without the periods that are over.
Json BudgetState::to_json() const {
  Json all = Json::object();
  for (const auto& [name, account] : accounts) {
    Json meters = Json::object();
    for (std::size_t i = 0; i < kMeterCount; ++i)
      if (account.meters[i].used != 0 && account.meters[i].begin >= begin_of(kMeters[i].period, latest)) meters[kMeters[i].name] = {{"since", to_rfc3339(account.meters[i].begin)}, {"used", account.meters[i].used}};
    if (!meters.empty()) all[name] = std::move(meters);
  }
  return {{"version", 1}, {"accounts", std::move(all)}};
}

Status BudgetState::restore(const Json& saved) {
  constexpr std::string_view kWhere = "budgets";
  if (TRY(json_integer(saved, "version", kWhere)) != 1) return fail(ErrorCode::unsupported, "counts of another version", std::string(kWhere));
  const Json saved_accounts = TRY(json_object(saved, "accounts", kWhere));
  for (const auto& [name, meters] : saved_accounts.items()) {
    if (!meters.is_object()) return fail(ErrorCode::invalid_argument, "the counts of an account are no object", std::string(kWhere));
    for (std::size_t i = 0; i < kMeterCount; ++i) {
      const auto found = meters.find(kMeters[i].name);
      if (found == meters.end()) continue;
      const auto begin = TRY(parse_rfc3339(TRY(json_string(*found, "since", kWhere))));
      accounts[name].meters[i] = {begin_of(kMeters[i].period, begin), TRY(json_integer(*found, "used", kWhere))};
    }
  }
  return {};
}

BudgetBook::BudgetBook(BudgetStorage storage, std::chrono::milliseconds pause) : storage_(std::move(storage)), pause_(pause), state_(std::make_shared<BudgetState>()) {}

Result<std::unique_ptr<BudgetBook>> BudgetBook::open(BudgetStorage storage, int save_ms) {
  std::unique_ptr<BudgetBook> book(new BudgetBook(std::move(storage), std::chrono::milliseconds(save_ms)));
  if (const auto saved = TRY(book->storage_.load()); !saved.empty()) TRY(book->state_->restore(TRY(parse_json(saved, "budgets", {kBookBytesMax, 8}))));
  book->thread_ = std::thread([raw = book.get()] { raw->keep_saving(); });
  return book;
}

BudgetBook::~BudgetBook() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Status BudgetBook::save() {
  const std::lock_guard once(saving_);
  Json now;
  std::uint64_t changes;
  {
    const std::lock_guard lock(state_->mutex);
    changes = state_->changes;
    if (changes == saved_) return {};
    now = state_->to_json();
  }
  TRY(storage_.save(dump_json(now)));
  saved_ = changes;
  return {};
}

void BudgetBook::keep_saving() {
  for (bool last = false; !last;) {
    {
      std::unique_lock lock(mutex_);
      last = changed_.wait_for(lock, pause_, [this] { return stopping_; });
    }
    if (auto saved = save(); !saved) spdlog::error("the counts of the budgets can't be saved, which is tried again: {} ({})", saved.error().message, saved.error().where);
  }
}

Budgets::Budgets(const Clock& clock, Prices prices, std::map<std::string, UseLimits> tenants, BudgetBook* book, std::map<std::string, UseLimits> models)
    : clock_(clock), prices_(prices), tenants_(std::move(tenants)), models_(std::move(models)), state_(book == nullptr ? std::make_shared<BudgetState>() : book->state_) {}

std::vector<std::pair<std::string, UseLimits>> Budgets::accounts_of(const ApiKeyInfo& who, const std::string& model) const {
  std::vector<std::pair<std::string, UseLimits>> accounts;
  if (who.limits != UseLimits{}) accounts.emplace_back("key " + who.account(), who.limits);
  if (const auto tenant = tenants_.find(who.tenant); tenant != tenants_.end()) accounts.emplace_back("tenant " + who.tenant, tenant->second);
  if (const auto limits = models_.find(model); limits != models_.end()) accounts.emplace_back("model " + model, limits->second);
  return accounts;
}

tl::expected<std::shared_ptr<Reservation>, BudgetRefusal> Budgets::reserve(const ApiKeyInfo& who, TokenUse most, const std::string& model) {
  const std::lock_guard lock(state_->mutex);
  const auto now = clock_.now();
  const auto accounts = accounts_of(who, model);
  for (const auto& account : accounts) state_->follow(account.first, now);
  std::optional<BudgetRefusal> refused;
  for (const auto& [name, limits] : accounts)
    for (std::size_t i = 0; i < kMeterCount; ++i) {
      const auto& kind = kMeters[i];
      if (limits.*kind.limit <= 0) continue;
      const auto left = limit_of(kind, limits) - state_->used(name, i);
      const auto for_answer = left - use_of(kind.unit, prices_, {most.prompt, 0});
      const auto one = most.answer > 0 ? use_of(kind.unit, prices_, {0, 1}) : 0;  // what is only read needs room for no answer
      if (kind.unit == Unit::requests ? left < 1 : for_answer < one) note_refusal(refused, kind, now);
      else if (one > 0) most.answer = std::min(most.answer, for_answer / one);
    }
  if (refused) return tl::unexpected(std::move(*refused));
  state_->forget(now);
  std::vector<std::string> names;
  for (const auto& account : accounts) names.push_back(account.first);
  for (const auto& [name, limits] : accounts) state_->accounts[name].limits = limits;
  state_->add(names, prices_, most, 1, now);
  return std::shared_ptr<Reservation>(new Reservation(*this, std::move(names), most, now));
}

std::optional<Budgets::Standing> Budgets::requests_of_minute(const ApiKeyInfo& who, const std::string& model) const { return standing(who, model, kRequestsOfMinute); }
std::optional<Budgets::Standing> Budgets::tokens_of_minute(const ApiKeyInfo& who, const std::string& model) const { return standing(who, model, kTokensOfMinute); }

std::optional<Budgets::Standing> Budgets::standing(const ApiKeyInfo& who, const std::string& model, std::size_t meter) const {
  const std::lock_guard lock(state_->mutex);
  const auto now = clock_.now();
  std::optional<Standing> least;
  for (const auto& [name, limits] : accounts_of(who, model)) {
    const auto limit = limits.*kMeters[meter].limit;
    if (limit <= 0) continue;
    state_->follow(name, now);
    const auto left = std::max<std::int64_t>(0, limit - state_->used(name, meter));
    if (!least || left < least->remaining) least = Standing{limit, left, seconds_to(end_of(kMeters[meter].period, now), now)};
  }
  return least;
}

Reservation::Reservation(Budgets& budgets, std::vector<std::string> accounts, TokenUse reserved, TimePoint time)
    : state_(budgets.state_), clock_(budgets.clock_), prices_(budgets.prices_), accounts_(std::move(accounts)), reserved_(reserved), time_(time) {}

Reservation::~Reservation() {
  const std::lock_guard lock(state_->mutex);
  if (!settled_ && !started_) state_->add(accounts_, prices_, {-reserved_.prompt, -reserved_.answer}, 0, time_);
}

tl::expected<void, BudgetRefusal> Reservation::start(std::int64_t prompt_tokens) {
  const std::lock_guard lock(state_->mutex);
  started_ = true;
  const auto more = prompt_tokens - reserved_.prompt;
  if (more <= 0) return {};
  std::optional<BudgetRefusal> refused;
  for (const auto& name : accounts_)
    for (std::size_t i = 0; i < kMeterCount; ++i) {
      const auto& limits = state_->accounts[name].limits;
      const auto& kind = kMeters[i];
      if (limits.*kind.limit <= 0 || kind.unit == Unit::requests) continue;
      if (state_->used(name, i) + use_of(kind.unit, prices_, {more, 0}) > limit_of(kind, limits)) note_refusal(refused, kind, clock_.now());
    }
  if (refused) {
    started_ = false;
    return tl::unexpected(std::move(*refused));
  }
  state_->add(accounts_, prices_, {more, 0}, 0, time_);
  reserved_.prompt = prompt_tokens;
  return {};
}

void Reservation::settle(TokenUse used) {
  const std::lock_guard lock(state_->mutex);
  if (std::exchange(settled_, true)) return;
  state_->add(accounts_, prices_, {used.prompt - reserved_.prompt, used.answer - reserved_.answer}, 0, time_);
}

}  // namespace redoubt::gateway
