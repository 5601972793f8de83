// SPDX-License-Identifier: Apache-2.0
//
// redoubt generate: one prompt answered in the sandbox. Its options are the fields of an OpenAI request under the same names, and
// are read by the same parser as the endpoint's.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <iostream>
#include <optional>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/engine_job.h"
#include "gateway/worker_message.h"
#include "json_schema/compile.h"
#include "openai/request.h"
#include "stages/evaluate/evaluate.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;

// Wider than what an endpoint grants its clients: the machine is the user's own. The engine's own limits.
const openai::RequestLimits kLimits{.prompt_bytes_max = 512 << 10, .answer_tokens_max = 131072, .top_k_max = 1 << 24, .stop_max = 16, .logit_bias_max = 1024};

struct GenerateOptions {
  std::string model, prompt, system, schema, dtype = "bf16", weights = "bf16";
  std::vector<std::string> adapters, stop, logit_bias;
  Json fields = {{"max_tokens", 128}, {"seed", 7}, {"temperature", 0.7}, {"top_p", 0.95}};  // of the request, as given
  bool greedy = false, plain = false;
};

// The option that a field of the request comes from.
std::string option_of(std::string field) {
  if (field.starts_with("messages")) return "--prompt";
  if (field == "top_logprobs") return "--logprobs";
  std::ranges::replace(field, '_', '-');
  return "--" + field;
}

Result<Json> logit_bias(const std::vector<std::string>& given) {
  Json biases = Json::object();
  for (const auto& entry : given) {
    const auto equals = entry.find('=');
    double value = 0;
    const char* end = entry.data() + entry.size();
    const bool number = equals != entry.npos && std::from_chars(entry.data() + equals + 1, end, value).ptr == end && std::isfinite(value);
    if (!number) return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not TOKEN_ID=NUMBER", entry), "--logit-bias", "such as 15=-100");
    if (!biases.emplace(entry.substr(0, equals), value).second) return fail(ErrorCode::invalid_argument, fmt::format("'{}' names a token twice", entry), "--logit-bias");
  }
  return biases;
}

Result<openai::GenerateRequest> parse(const GenerateOptions& options, Json fields) {
  fields["messages"] = Json::array();
  if (!options.system.empty()) fields["messages"].push_back({{"role", "system"}, {"content", options.system}});
  fields["messages"].push_back({{"role", "user"}, {"content", options.prompt}});
  if (!options.stop.empty()) fields["stop"] = options.stop;
  if (!options.logit_bias.empty()) fields["logit_bias"] = TRY(logit_bias(options.logit_bias));
  fields["model"] = "generate";
  auto parsed = openai::parse_chat_request(dump_json(fields), kLimits);
  if (parsed) return std::move(parsed->generate);
  const auto& error = parsed.error();
  const Json given = json_or(fields, error.where.c_str(), Json());
  return fail(error.code, given.is_null() || error.where == "messages" ? error.message : error.message + ", not " + dump_json(given), option_of(error.where), error.hint);
}

// The schema as the file has it: the order of its members is that of the answer's.
Result<std::string> read_schema(const std::string& file) {
  const auto text = TRY(read_text_file(file, 64 << 10));
  const auto grammar = json_schema::compile_schema(text);
  if (grammar) return text;
  return fail(grammar.error().code, fmt::format("the schema, at {}: {}", grammar.error().where, grammar.error().message), file, "docs/generation.md lists what a schema may hold");
}

Result<openai::GenerateRequest> request_of(const GenerateOptions& options) {
  auto request = TRY(parse(options, options.fields));
  request.greedy = request.greedy || options.greedy;
  if (!options.schema.empty()) request.schema = TRY(read_schema(options.schema));
  if (!options.plain) return request;
  if (!options.system.empty()) return fail(ErrorCode::invalid_argument, "a plain prompt has no system message", "--system", "put it into the prompt, or leave --plain out");
  request.prompt = options.prompt;
  request.messages.clear();
  return request;
}

// One adapter answers as the channel `adapter`; several answer beside each other, by the names of their folders.
Status add_adapters(const std::vector<std::string>& folders, provider::JobSpec& spec) {
  if (folders.size() == 1) return (spec.channels["adapter"] = TRY(model_files(folders[0]))), Status();
  std::map<std::string, std::string> named;
  for (const auto& folder : folders) {
    const auto path = fs::absolute(folder).lexically_normal();
    const auto name = (path.has_filename() ? path : path.parent_path()).filename().string();
    const auto [other, is_new] = named.emplace(name, folder);
    if (!is_new) return fail(ErrorCode::invalid_argument, fmt::format("{} and {} have one name", other->second, folder), "--adapter", "answers are told apart by their adapter's folder name");
    for (auto& file : TRY(model_files(folder))) spec.channels["adapters"].push_back({name + "/" + file.path, std::move(file.open)});
  }
  return {};
}

std::string logprob_table(const Json& answer) {
  Table table{{"TOKEN", "LOGPROB", "LIKELIEST"}, {}};
  const auto value = [](const Json& one) { return one["logprob"].is_null() ? std::string("-inf") : fmt::format("{:.4f}", one["logprob"].get<double>()); };
  for (const auto& one : answer["logprobs"]) {
    std::string top;
    for (const auto& likely : one["top"]) top += fmt::format("{}{} {}", top.empty() ? "" : "  ", dump_json(likely["token"]), value(likely));
    table.rows.push_back({dump_json(one["token"]), value(one), top});
  }
  return render(table);
}

// An answer that stood on the terminal while it came is not told again.
std::string told(const Json& answer, bool streamed) {
  std::string text = answer.contains("adapter") ? fmt::format("{}: ", json_or(answer, "adapter", "")) : "";
  if (!streamed) text += json_or(answer, "text", "");
  if (!streamed || answer.contains("logprobs")) text += "\n";
  return answer.contains("logprobs") ? text + logprob_table(answer) : text;
}

Result<int> generate(Invocation& invocation, const GenerateOptions& options, const Output& output) {
  provider::JobSpec spec;
  spec.entry_point = "generate";
  const auto request = TRY(request_of(options));
  spec.hyperparameters = TRY(parse_json(gateway::generate_options(request), "request"));
  spec.hyperparameters.update({{"dtype", options.dtype}, {"weights", options.weights}});
  spec.channels["model"] = TRY(model_files(options.model));
  TRY(stages::evaluate::make_room(spec));
  if (!options.adapters.empty()) TRY(add_adapters(options.adapters, spec));
  EngineJobHandler handler(invocation.progress, "generate");
  const bool streams = !output.json() && options.adapters.size() < 2;
  if (streams) {
    handler.on_token = [](const Json& event) { std::cout << json_or(event, "text", "") << std::flush; };
  }
  const Json result = TRY(run_engine_job(std::move(spec), handler, invocation.progress, "generation"));
  std::string text;
  for (const auto& answer : json_or(result, "answers", Json::array({result}))) text += told(answer, streams);
  if (streams) std::cout << std::endl;
  if (!streams || !text.empty()) output.result(result, text);
  return 0;
}

void add_number(CLI::App& command, const std::shared_ptr<GenerateOptions>& options, const char* field, const char* help) {
  command.add_option_function<double>(option_of(field), [options, field](double value) {
    // JSON has no such number; as text it is refused by the parser, which knows the range.
    options->fields[field] = std::isfinite(value) ? Json(value) : Json(std::isnan(value) ? "nan" : "infinite");
  }, help);
}

void add_count(CLI::App& command, const std::shared_ptr<GenerateOptions>& options, const char* field, const char* help) {
  command.add_option_function<std::int64_t>(option_of(field), [options, field](std::int64_t value) { options->fields[field] = value; }, help);
}

void add_sampling(CLI::App& command, const std::shared_ptr<GenerateOptions>& options) {
  add_count(command, options, "max_tokens", "at most so many tokens (default 128)");
  command.add_flag("--greedy", options->greedy, "always the likeliest token");
  add_count(command, options, "seed", "of the sampling (default 7): the same again gives the same answer");
  add_number(command, options, "temperature", "0 (greedy) to 2 (default 0.7)");
  add_number(command, options, "top_p", "of the likeliest tokens that reach this probability together, 0 to 1 (default 0.95)");
  add_count(command, options, "top_k", "of so many likeliest tokens; 0 (default): of all");
  add_number(command, options, "min_p", "of tokens at least this share as likely as the likeliest, 0 (default) to 1");
  add_number(command, options, "repetition_penalty", "of tokens of prompt and answer, 0.01 to 100 (default 1: none)");
  add_number(command, options, "presence_penalty", "of tokens of the answer, -2 to 2 (default 0)");
  add_number(command, options, "frequency_penalty", "of tokens of the answer, for each time they came, -2 to 2 (default 0)");
  command.add_option("--logit-bias", options->logit_bias, "TOKEN_ID=NUMBER, added to that token's logit, -100 to 100; may be given again");
  command.add_option("--stop", options->stop, "the answer ends before this text; may be given again (16 times)");
  command.add_option_function<std::int64_t>("--logprobs", [options](std::int64_t top) { options->fields.update({{"logprobs", true}, {"top_logprobs", top}}); },
                                            "tell each token's logprob and so many of the likeliest, 0 to 20");
}

}  // namespace

void add_generate_command(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = add_command(app, invocation, "generate", "Answers a prompt in the sandbox", [&invocation, options](const Output& output) { return generate(invocation, *options, output); });
  command->add_option("--model", options->model, "a Hugging Face model folder")->required();
  command->add_option("--adapter", options->adapters, "a PEFT adapter folder; given again, each adapter answers");
  command->add_option("--prompt", options->prompt, "what to ask")->required();
  command->add_option("--system", options->system, "a system message before it");
  command->add_flag("--plain", options->plain, "continue the prompt as plain text, without the chat template");
  command->add_option("--schema", options->schema, "a file with a JSON Schema that the answer is held to");
  command->add_option("--dtype", options->dtype, "what is computed in: bf16 (default) or fp32")->check(CLI::IsMember({"bf16", "fp32"}));
  command->add_option("--weights", options->weights, "bf16 (default, as loaded), int8 or int4")->check(CLI::IsMember({"bf16", "int8", "int4"}));
  add_sampling(*command, options);
}

}  // namespace redoubt::cli
