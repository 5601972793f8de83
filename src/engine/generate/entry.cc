// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/entry.h"

#include <cmath>

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

// Writes the answer as events while it comes.
class Printer final : public Listener {
 public:
  Printer(job::EventWriter& events, const tokenizer::Tokenizer& tokenizer) : events_(events), tokenizer_(tokenizer) {}
  void started(const std::string&, std::size_t) override {}
  void piece(const std::string&, const Piece& piece) override {
    answer_ += piece.text;
    for (const auto& one : piece.logprobs) {
      Json top = Json::array();
      for (const auto& likely : one.top) top.push_back(told(likely));
      logprobs_.push_back(told(one.chosen));
      logprobs_.back()["top"] = std::move(top);
    }
    if (!piece.text.empty()) events_.write("token", {{"text", piece.text}});
  }
  void done(const std::string&, FinishReason reason, const Usage& usage) override {
    result_ = Json{{"text", answer_}, {"finish_reason", to_string(reason)}, {"prompt_tokens", usage.prompt}, {"completion_tokens", usage.completion}};
    if (!logprobs_.empty()) (*result_)["logprobs"] = logprobs_;
  }
  void failed(const std::string&, const Error& error) override { result_ = fail(error); }
  Result<Json> result() const { return result_; }

 private:
  Json told(const TokenLogprob& one) const {
    return {{"id", one.id}, {"token", std::string(tokenizer_.token_bytes(one.id))}, {"logprob", std::isfinite(one.logprob) ? Json(one.logprob) : Json()}};
  }

  job::EventWriter& events_;
  const tokenizer::Tokenizer& tokenizer_;
  std::string answer_;
  Json logprobs_ = Json::array();
  Result<Json> result_ = fail(ErrorCode::internal, "generation ended without a result");
};

Result<Request> request_of(const job::Hyperparameters& values) {
  Request request;
  request.max_tokens = TRY(values.integer("max_tokens", 256, 1, 1 << 24));
  auto& sampling = request.sampling;
  sampling.greedy = TRY(values.boolean("greedy", false));
  sampling.temperature = TRY(values.number("temperature", 1, 0, 100));
  sampling.top_p = TRY(values.number("top_p", 1, 0, 1));
  sampling.top_k = TRY(values.integer("top_k", 0, 0, 1 << 24));
  sampling.min_p = TRY(values.number("min_p", 0, 0, 1));
  sampling.repetition_penalty = TRY(values.number("repetition_penalty", 1, 0, 100));
  sampling.presence_penalty = TRY(values.number("presence_penalty", 0, -2, 2));
  sampling.frequency_penalty = TRY(values.number("frequency_penalty", 0, -2, 2));
  if (const auto bias = TRY(values.value("logit_bias"))) sampling.logit_bias = TRY(parse_logit_bias(*bias));
  if (TRY(values.value("top_logprobs"))) request.top_logprobs = static_cast<std::size_t>(TRY(values.integer("top_logprobs", 0, 0, kTopLogprobsMax)));
  sampling.seed = static_cast<std::uint64_t>(TRY(values.integer("seed", 0, INT64_MIN, INT64_MAX)));
  if (const auto stop = TRY(values.value("stop"))) request.stop = TRY(parse_stops(*stop));
  if (const auto schema = TRY(values.text("json_schema", "")); !schema.empty()) request.grammar = TRY(parse_schema(schema));
  request.id = "generate";
  return request;
}

Result<std::vector<std::int32_t>> prompt_of(const job::Hyperparameters& values, const LoadedModel& model) {
  const auto messages = TRY(values.value("messages"));
  const auto prompt = TRY(values.text("prompt", ""));
  if (messages.has_value() == !prompt.empty())
    return fail(ErrorCode::invalid_argument, "give either messages or a prompt", "hyperparameters");
  return messages ? encode_messages(model, TRY(parse_messages(*messages))) : encode_prompt(model, prompt);
}

Status generate_job(const job::Paths& paths) {
  const auto values = TRY(job::Hyperparameters::read(paths.hyperparameters()));
  TRY(values.expect_only({"prompt", "messages", "max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
                          "frequency_penalty", "logit_bias", "top_logprobs", "json_schema", "seed", "greedy", "stop", "dtype", "weights", "threads"}));
  TRY(use_threads(values));
  auto request = TRY(request_of(values));
  const auto model = TRY(load_model(paths.channel("model"), TRY(adapter_folders(paths.channel("adapter"), {})), TRY(model_options(values))));
  request.prompt = TRY(prompt_of(values, model));
  job::EventWriter events;
  Printer printer(events, *model.tokenizer);
  const auto context = std::ssize(request.prompt) + request.max_tokens;
  const auto sequences = TRY(make_sequence_model(model, {.context = std::min(context, model.base->config().context_length)}));
  request.owner.adapter = model.default_adapter;
  Scheduler scheduler(*sequences, *model.tokenizer, model.end_tokens, printer);
  TRY(scheduler.submit(std::move(request)));
  while (scheduler.busy()) scheduler.step();
  const auto result = TRY(printer.result());
  TRY(make_folder(paths.output_data()));
  TRY(write_file(paths.output_data() / "generations.jsonl", dump_json(result) + "\n"));
  events.write("result", result);
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
