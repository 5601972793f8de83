// SPDX-License-Identifier: Apache-2.0
//
// How much a key may ask for, and which sources have failed too often to be heard. All bounded, all safe from several
// threads.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "gateway/api_key.h"

namespace redoubt::gateway {

// A request's place among its key's; freed when the last copy goes.
using Admission = std::shared_ptr<void>;

// A token bucket a key (requests per minute, a burst of the same size) and a count of requests at once.
class KeyLimits {
 public:
  explicit KeyLimits(const Clock& clock) : clock_(clock), state_(std::make_shared<State>()) {}
  // Or the seconds after which it is worth trying again.
  tl::expected<Admission, int> admit(const ApiKeyInfo& key);
  // How many more requests a key may make at once, and when it may make all of them again.
  struct Standing {
    int limit = 0, remaining = 0, reset_s = 0;
  };
  Standing standing(const ApiKeyInfo& key);

 private:
  struct Use {
    double tokens = 0;
    TimePoint filled{};
    int running = 0;
  };
  struct State {
    std::mutex mutex;
    std::map<std::string, Use> uses;
  };
  Use& use_of(const ApiKeyInfo& key);

  const Clock& clock_;
  const std::shared_ptr<State> state_;  // shared with admissions, which may outlive this
};

struct SourceLimitOptions {
  int requests_per_minute = 600;
  std::size_t sources_max = 10'000;  // the one that was not seen for longest is forgotten
};

// A token bucket a source, for what needs no key.
class SourceLimits {
 public:
  explicit SourceLimits(const Clock& clock, SourceLimitOptions options = {}) : clock_(clock), options_(options) {}
  bool admit(const std::string& source);

 private:
  struct Use {
    double tokens = 0;
    TimePoint filled{};
  };
  const Clock& clock_;
  const SourceLimitOptions options_;
  std::mutex mutex_;
  std::map<std::string, Use> uses_;
};

struct LockoutOptions {
  int failures_max = 100;  // within window_s
  int window_s = 60;
  int lock_s = 60;
  std::size_t sources_max = 10'000;
};

// Locks a source out after too many wrong keys. Keys that the source used rightly before stay usable (the 256 that were used last), so that a flood of
// wrong keys from behind one proxy does not shut out those who share it; a key that was never seen from there is refused
// unread.
class Lockout {
 public:
  explicit Lockout(const Clock& clock, LockoutOptions options = {}) : clock_(clock), options_(options) {}
  void note_failure(const std::string& source);
  void note_success(const std::string& source, const std::string& key_id);
  // Seconds for which it is locked; 0 when it is not.
  int locked_s(const std::string& source);
  bool knows(const std::string& source, const std::string& key_id);

 private:
  struct Record {
    int failures = 0;
    TimePoint window_start{}, locked_until{}, seen{};
    std::map<std::string, TimePoint> good_keys;  // by id, when each was last used
  };
  Record& record_of(const std::string& source);

  const Clock& clock_;
  const LockoutOptions options_;
  std::mutex mutex_;
  std::map<std::string, Record> records_;
};

}  // namespace redoubt::gateway
