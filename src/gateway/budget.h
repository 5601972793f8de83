// SPDX-License-Identifier: Apache-2.0
//
// What keys, tenants and models may use: requests, tokens and money, by the minute, the day and the month of UTC. What a request could use at most
// is reserved before it starts, and what it did use is settled after, so that no limit is ever overshot, however many ask at once.
// The counts live in a book, which outlives gateways, and a restart where it is given a place to be kept (docs/formats/budgets.md).
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "gateway/api_key.h"

namespace redoubt::gateway {

// In millionths of a currency for a million tokens; the limits of money are in millionths of the same.
struct Prices {
  std::int64_t prompt = 0, answer = 0;
};

struct TokenUse {
  std::int64_t prompt = 0, answer = 0;
};

// Of the limits without room the one whose period ends last: whoever comes again before would be refused again.
struct BudgetRefusal {
  std::string limit;  // "tokens_per_day"
  int retry_s = 1;
};

class Budgets;
class BudgetState;

// Where the counts are kept, sealed by whoever provides these. `load` answers an empty text before the first save; `save` is atomic and
// durable, and called from the book's own thread.
struct BudgetStorage {
  std::function<Result<std::string>()> load;
  std::function<Status(const std::string& json)> save;
};

// All that was used. What changed is saved in the background, `save_ms` after the last time at the earliest, and when the book is dropped:
// no request ever waits for a disk. A process that is killed forgets what was used since the last save; what was reserved then counts as used.
class BudgetBook {
 public:
  // Without a storage nothing is kept. invalid_argument for a text that no book saved.
  static Result<std::unique_ptr<BudgetBook>> open(BudgetStorage storage, int save_ms = 1'000);
  ~BudgetBook();
  // Now, if anything changed.
  Status save();

 private:
  friend class Budgets;
  BudgetBook(BudgetStorage storage, std::chrono::milliseconds pause);
  void keep_saving();

  const BudgetStorage storage_;
  const std::chrono::milliseconds pause_;
  const std::shared_ptr<BudgetState> state_;
  std::mutex saving_;  // one save at a time
  std::uint64_t saved_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

// A request's part of all the limits that hold for it. Dropped unsettled it counts as used in full once the request has started, and as
// not made before. Safe from several threads.
class Reservation {
 public:
  ~Reservation();
  std::int64_t answer_tokens() const { return reserved_.answer; }  // at most so many may be generated
  // The engine counted the prompt. Refused when it is more than was reserved and the limits have no room for the rest.
  tl::expected<void, BudgetRefusal> start(std::int64_t prompt_tokens);
  void settle(TokenUse used);

 private:
  friend class Budgets;
  Reservation(Budgets& budgets, std::vector<std::string> accounts, TokenUse reserved, TimePoint time);
  const std::shared_ptr<BudgetState> state_;
  const Clock& clock_;
  const Prices prices_;
  const std::vector<std::string> accounts_;
  TokenUse reserved_;
  const TimePoint time_;
  bool started_ = false, settled_ = false;
};

class Budgets {
 public:
  // Without a book the counts are this object's own.
  Budgets(const Clock& clock, Prices prices, std::map<std::string, UseLimits> tenants, BudgetBook* book = nullptr, std::map<std::string, UseLimits> models = {});

  // `most`: an upper bound of the prompt, and the answer as it was asked for, which may be cut to what is left. `model`: who answers, by name.
  tl::expected<std::shared_ptr<Reservation>, BudgetRefusal> reserve(const ApiKeyInfo& who, TokenUse most, const std::string& model = "");
  // How the requests and the tokens of this minute stand, for x-ratelimit-*; nothing where no limit of them holds.
  struct Standing {
    std::int64_t limit = 0, remaining = 0;
    int reset_s = 0;
  };
  std::optional<Standing> requests_of_minute(const ApiKeyInfo& who, const std::string& model = "") const;
  std::optional<Standing> tokens_of_minute(const ApiKeyInfo& who, const std::string& model = "") const;

 private:
  friend class Reservation;
  std::vector<std::pair<std::string, UseLimits>> accounts_of(const ApiKeyInfo& who, const std::string& model) const;
  std::optional<Standing> standing(const ApiKeyInfo& who, const std::string& model, std::size_t meter) const;

  const Clock& clock_;
  const Prices prices_;
  const std::map<std::string, UseLimits> tenants_, models_;
  const std::shared_ptr<BudgetState> state_;
};

}  // namespace redoubt::gateway
