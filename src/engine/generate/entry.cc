// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/entry.h"

#include <cmath>
#include <map>

#include "base/file.h"
#include "engine/generate/cached_sequences.h"
#include "engine/generate/loaded_model.h"
#include "engine/generate/job_options.h"
#include "engine/generate/request_fields.h"
#include "engine/job/job.h"

namespace redoubt::engine::generate {
namespace {

// The job's own failure is what counts, also when it can't be written down.
Status reported(const job::Paths& paths, Status status) {
  if (!status) (void)job::write_failure(paths, status.error());
  return status;
}

// Writes the answers as events while they come; each is told apart by its request's id, the adapter's name where several answer.
class Printer final : public Listener {
 public:
  Printer(job::EventWriter& events, const tokenizer::Tokenizer& tokenizer) : events_(events), tokenizer_(tokenizer) {}
  void started(const std::string& id, std::size_t) override { answers_[id]; }
  void piece(const std::string& id, const Piece& piece) override {
    auto& answer = answers_[id];
    answer.text += piece.text;
    for (const auto& one : piece.logprobs) {
      Json top = Json::array();
      for (const auto& likely : one.top) top.push_back(told(likely));
      answer.logprobs.push_back(told(one.chosen));
      answer.logprobs.back()["top"] = std::move(top);
    }
    if (!piece.text.empty()) events_.write("token", id.empty() ? Json{{"text", piece.text}} : Json{{"text", piece.text}, {"adapter", id}});
  }
  void done(const std::string& id, FinishReason reason, const Usage& usage) override {
    auto& [text, logprobs, result] = answers_[id];
    result = Json{{"text", text}, {"finish_reason", to_string(reason)}, {"prompt_tokens", usage.prompt}, {"completion_tokens", usage.completion}};
    if (!logprobs.empty()) (*result)["logprobs"] = logprobs;
    if (!id.empty()) (*result)["adapter"] = id;
  }
  void failed(const std::string& id, const Error& error) override { answers_[id].result = fail(error); }
  Result<Json> result(const std::string& id) const { return answers_.at(id).result; }

 private:
  struct Answer {
    std::string text = {};
    Json logprobs = Json::array();
    Result<Json> result = fail(ErrorCode::internal, "generation ended without a result");
  };
  Json told(const TokenLogprob& one) const {
    return {{"id", one.id}, {"token", std::string(tokenizer_.token_bytes(one.id))}, {"logprob", std::isfinite(one.logprob) ? Json(one.logprob) : Json()}};
  }

  job::EventWriter& events_;
  const tokenizer::Tokenizer& tokenizer_;
  std::map<std::string, Answer> answers_;
};

constexpr std::int64_t kTokensDefault = 256;

// One request of each adapter of the channel `adapters`, in the order of their names; without it the adapter of the channel
// `adapter`, or the base.
std::vector<Request> requests_of(const Request& asked, const LoadedModel& model) {
  std::vector<Request> requests;
  for (std::size_t i = 0; i < model.adapters.size(); ++i) {
    if (i + 1 == model.default_adapter) continue;
    auto& request = requests.emplace_back(asked);
    request.id = model.adapters[i].name;
    request.owner.adapter = i + 1;
  }
  if (requests.empty()) {
    requests.push_back(asked);
    requests.back().owner.adapter = model.default_adapter;
  }
  return requests;
}

// The answers' results, in the order of the requests.
Result<std::vector<Json>> answer(const LoadedModel& model, std::vector<Request> requests, job::EventWriter& events) {
  Printer printer(events, *model.tokenizer);
  const auto context = std::ssize(requests[0].prompt) + requests[0].max_tokens;
  const auto sequences = TRY(make_sequence_model(model, {.slots = requests.size(), .context = std::min(context, model.base->config().context_length)}));
  Scheduler scheduler(*sequences, *model.tokenizer, model.end_tokens, printer);
  for (const auto& request : requests) TRY(scheduler.submit(request));
  while (scheduler.busy()) scheduler.step();
  std::vector<Json> results;
  for (const auto& request : requests) results.push_back(TRY(printer.result(request.id)));
  return results;
}

Status generate_job(const job::Paths& paths) {
  const auto values = TRY(job::Hyperparameters::read(paths.hyperparameters()));
  auto known = request_fields();
  known.insert(known.end(), {"dtype", "weights", "threads"});
  TRY(values.expect_only(known));
  TRY(use_threads(values));
  auto request = TRY(read_options(values));
  if (request.max_tokens == 0) request.max_tokens = kTokensDefault;
  const auto prompt = TRY(read_prompt(values));
  const auto adapters = TRY(adapter_folders(paths.channel("adapter"), paths.channel("adapters")));
  const auto model = TRY(load_model(paths.channel("model"), adapters, TRY(model_options(values))));
  request.prompt = TRY(prompt.text ? encode_prompt(model, *prompt.text) : encode_messages(model, prompt));
  job::EventWriter events;
  const auto results = TRY(answer(model, requests_of(request, model), events));
  std::string lines;
  for (const auto& result : results) lines += dump_json(result) + "\n";
  TRY(make_folder(paths.output_data()));
  TRY(write_file(paths.output_data() / "generations.jsonl", lines));
  events.write("result", results.size() == 1 ? results[0] : Json{{"answers", results}});
  return {};
}

Result<std::string> decoded(const tokenizer::Tokenizer& tokenizer, const Json& value, tokenizer::OnDecode special, const std::string& where) {
  std::vector<std::int32_t> ids;
  for (const auto& id : value) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > INT32_MAX) return fail(ErrorCode::invalid_argument, "not a token id", where);
    ids.push_back(id.get<std::int32_t>());
  }
  return dump_json(TRY(tokenizer.decode(ids, special)));
}

struct TokenizeOptions {
  bool decode = false;
  tokenizer::SpecialTokens on_encode = tokenizer::SpecialTokens::add;
  tokenizer::OnDecode on_decode = tokenizer::OnDecode::keep_special_tokens;
};

Result<std::string> converted(const tokenizer::Tokenizer& tokenizer, std::string_view line, const TokenizeOptions& options, const std::string& where) {
  const auto value = TRY(parse_json(line, where, {.bytes_max = 64 << 20, .depth_max = 2}));
  if (options.decode ? !value.is_array() : !value.is_string())
    return fail(ErrorCode::invalid_argument, options.decode ? "a line must be a JSON array of ids" : "a line must be a JSON string", where);
  if (options.decode) return decoded(tokenizer, value, options.on_decode, where);
  const auto ids = tokenizer.encode(value.get_ref<const std::string&>(), options.on_encode);
  if (!ids) return fail(ids.error().code, ids.error().message, where, ids.error().hint);
  return dump_json(Json(*ids));
}

Status tokenize_job(const job::Paths& paths) {
  const auto values = TRY(job::Hyperparameters::read(paths.hyperparameters()));
  TRY(values.expect_only({"decode", "add_special_tokens", "skip_special_tokens"}));
  TokenizeOptions options{.decode = TRY(values.boolean("decode", false))};
  if (!TRY(values.boolean("add_special_tokens", true))) options.on_encode = tokenizer::SpecialTokens::leave_out;
  if (TRY(values.boolean("skip_special_tokens", false))) options.on_decode = tokenizer::OnDecode::skip_special_tokens;
  const auto tokenizer = TRY(tokenizer::Tokenizer::load(paths.channel("model")));
  const auto text = TRY(read_text_file(paths.channel("text") / "lines.jsonl", std::uint64_t{1} << 30));
  TRY(make_folder(paths.output_data()));
  auto out = TRY(AtomicFile::create(paths.output_data() / "ids.jsonl"));
  std::string_view rest = text;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    TRY(out->write(view_of(TRY(converted(*tokenizer, line, options, "lines.jsonl:" + std::to_string(number))) + "\n")));
  }
  return out->commit();
}

}  // namespace

Status run_generate(const std::filesystem::path& root) { return reported({root}, generate_job({root})); }
Status run_tokenize(const std::filesystem::path& root) { return reported({root}, tokenize_job({root})); }

}  // namespace redoubt::engine::generate
