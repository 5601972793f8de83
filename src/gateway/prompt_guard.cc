// SPDX-License-Identifier: Apache-2.0
#include "gateway/prompt_guard.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <set>

#include "base/log.h"
#include "crypto/hash.h"
#include "openai/embeddings.h"

namespace redoubt::gateway {
namespace {

constexpr std::size_t kCleanMax = 16'384;     // pieces that are remembered to hold nothing
constexpr std::size_t kPiecesOfRead = 2'048;  // that a worker takes at once
constexpr int kExamplesMsMax = 120'000;       // to read the topics' sentences, once a model

// Every text of a request that somebody wrote. A message with calls or of a tool counts as it will stand in the prompt, and so do the tools.
std::vector<std::string> pieces_of_request(const GenerateRequest& request) {
  std::vector<std::string> pieces;
  const auto add = [&](const std::string& text) {
    auto more = guards::pieces_of(text);
    std::move(more.begin(), more.end(), std::back_inserter(pieces));
  };
  if (request.prompt) add(*request.prompt);
  for (const auto& message : request.messages) add(message.json.empty() ? message.content : message.json);
  add(request.tools);
  return pieces;
}

Digest name_of(const std::string& scope, const std::string& piece) { return crypto::sha256(scope + '\0' + piece); }

}  // namespace

// Gathers what is read, and tells once: nothing where it was not read whole.
class PromptGuard::Reading final : public GenerateListener {
 public:
  using Done = std::function<void(std::optional<std::vector<TextRead>>)>;
  Reading(std::size_t texts, Done done) : texts_(texts), done_(std::move(done)) {}
  bool forget() override {
    read_.clear();
    return true;
  }
  void on_started(int) override {}
  void on_token(const Piece&) override {}
  void on_text(const TextRead& text) override { read_.push_back(text); }
  void on_done(const GenerateEnd&) override { read_.size() == texts_ ? done_(std::move(read_)) : done_(std::nullopt); }
  void on_error(const Error& error) override {
    spdlog::warn("a prompt was not read for the guards: {}", error.message);
    done_(std::nullopt);
  }

 private:
  const std::size_t texts_;
  const Done done_;
  std::vector<TextRead> read_;
};

// What is known of one pool's model. It holds the pool weakly: listeners, which the pool holds, hold this.
class PromptGuard::Model : public std::enable_shared_from_this<Model> {
 public:
  Model(std::shared_ptr<const guards::Guards> guards, const std::shared_ptr<WorkerPool>& pool) : guards_(std::move(guards)), pool_(pool) {}

  bool is_gone() const { return pool_.expired(); }

  // Calls `then` once the topics' sentences were read, false where they can't be.
  void with_topics(const std::function<void(bool)>& then) {
    bool waits = false, begins = false;
    {
      const std::lock_guard lock(mutex_);
      waits = !topics_ && !options().topics.empty();
      if (waits) {
        waiting_.push_back(then);
        begins = !std::exchange(is_reading_, true);
      }
    }
    if (!waits) then(true);
    if (begins) read_examples();
  }

  // The pieces that are not known to hold nothing.
  std::vector<std::string> unknown(std::vector<std::string> pieces, const std::string& scope) {
    const std::lock_guard lock(mutex_);
    std::set<std::string> seen;
    std::erase_if(pieces, [&](const auto& piece) { return clean_.contains(name_of(scope, piece)) || !seen.insert(piece).second; });
    return pieces;
  }

  PromptVerdict judge(const std::vector<std::string>& pieces, const std::vector<TextRead>& read, const std::string& scope) {
    PromptVerdict verdict;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      auto hits = guards::judge(options(), topics_ ? &*topics_ : nullptr, {static_cast<std::size_t>(read[i].tokens), openai::numbers_of_embedding(read[i].embedding), read[i].window_nats});
      if (hits.empty()) remember(name_of(scope, pieces[i]));
      for (auto& hit : hits) {
        if (hit.action == guards::Action::refuse) verdict.may = PromptVerdict::May::not_pass;
        verdict.hits.push_back(std::move(hit));
      }
    }
    return verdict;
  }

 private:
  const guards::ReadingOptions& options() const { return guards_->reading(); }

  void read_examples() {
    const auto pool = pool_.lock();
    GenerateRequest request;
    for (auto& sentence : guards::Topics::sentences(options())) request.texts.push_back({std::move(sentence), {}});
    request.payer = "guards";
    request.ms_max = kExamplesMsMax;
    auto listener = std::make_shared<Reading>(request.texts.size(), [self = shared_from_this()](auto read) { self->take_examples(read); });
    if (!pool || !pool->generate(std::move(request), std::move(listener))) take_examples(std::nullopt);
  }

  void take_examples(const std::optional<std::vector<TextRead>>& read) {
    std::vector<std::vector<float>> embeddings;
    for (const auto& text : read.value_or(std::vector<TextRead>())) embeddings.push_back(openai::numbers_of_embedding(text.embedding));
    std::vector<std::function<void(bool)>> waiting;
    bool is_known = false;
    {
      const std::lock_guard lock(mutex_);
      if (auto topics = read ? guards::Topics::create(options(), embeddings) : fail(ErrorCode::unavailable, "not read")) topics_.emplace(std::move(*topics));
      is_known = topics_.has_value();
      is_reading_ = false;
      waiting.swap(waiting_);
    }
    for (const auto& then : waiting) then(is_known);
  }

  void remember(const Digest& name) {
    const std::lock_guard lock(mutex_);
    if (!clean_.insert(name).second) return;
    order_.push_back(name);
    if (order_.size() <= kCleanMax) return;
    clean_.erase(order_.front());
    order_.pop_front();
  }

  const std::shared_ptr<const guards::Guards> guards_;
  const std::weak_ptr<WorkerPool> pool_;
  std::mutex mutex_;
  std::optional<guards::Topics> topics_;  // set once
  bool is_reading_ = false;
  std::vector<std::function<void(bool)>> waiting_;
  std::set<Digest> clean_;
  std::deque<Digest> order_;  // of those, the oldest first
};

std::shared_ptr<PromptGuard::Model> PromptGuard::model_of(const std::shared_ptr<WorkerPool>& pool) {
  const std::lock_guard lock(mutex_);
  // A new pool may lie where one that is gone lay.
  std::erase_if(models_, [](const auto& known) { return known.second->is_gone(); });
  auto& model = models_[pool.get()];
  if (!model) model = std::make_shared<Model>(guards_, pool);
  return model;
}

void PromptGuard::look(const std::shared_ptr<WorkerPool>& pool, const GenerateRequest& request, const std::shared_ptr<RequestRun>& run, Told told) {
  if (!looks() || !request.texts.empty()) return told({});
  const auto& options = guards_->reading();
  const auto unread = [told, action = options.unread] {
    const bool passes = action == guards::Action::log;
    told({passes ? PromptVerdict::May::pass : PromptVerdict::May::not_be_read, {{guards::Direction::input, "reading", std::string(guards::kUnread), action}}});
  };
  const auto model = model_of(pool);
  auto pieces = model->unknown(pieces_of_request(request), request.scope);
  if (pieces.empty()) return told({});
  if (pieces.size() > kPiecesOfRead || pool->state().embedding_length == 0) return unread();
  GenerateRequest asked;
  for (const auto& piece : pieces) asked.texts.push_back({piece, {}});
  asked.window = options.anomaly ? options.anomaly->window : 0;
  asked.payer = request.payer;
  asked.ms_max = options.time_ms_max;
  model->with_topics([weak = std::weak_ptr(pool), model, run, told, unread, asked = std::move(asked), pieces = std::move(pieces), scope = request.scope](bool is_known) mutable {
    const auto alive = weak.lock();
    if (!is_known || !alive) return unread();
    auto judged = [model, told, unread, pieces, scope](auto read) { read ? told(model->judge(pieces, *read, scope)) : unread(); };
    auto listener = std::make_shared<Reading>(pieces.size(), std::move(judged));
    if (!run->ask(alive, std::move(asked), std::move(listener))) unread();
  });
}

}  // namespace redoubt::gateway
