// SPDX-License-Identifier: Apache-2.0
#include "openai/embeddings.h"

#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "base/bytes.h"
#include "openai/fields.h"

namespace redoubt::openai {
namespace {

constexpr std::size_t kTokenBytes = 4;  // that a token counts as, where texts are measured in bytes
constexpr int kDimensionsMax = 1 << 20;

Result<TextInput> tokens_of(const Json& list, const std::string& field) {
  TextInput input;
  if (list.empty()) return wrong(field + " is empty", "input");
  for (const auto& item : list) {
    const auto id = whole_number(item);
    if (!id.is_number_integer() || id < 0 || id > kTokenIdMax) return wrong(field + " must hold token ids", "input");
    input.tokens.push_back(id.get<std::int32_t>());
  }
  return input;
}

Result<TextInput> input_of(const Json& value, const std::string& field) {
  if (value.is_array()) return tokens_of(value, field);
  if (!value.is_string()) return wrong(field + " must be a string or a list of token ids", "input");
  if (value.get_ref<const std::string&>().empty()) return wrong(field + " is empty", "input");
  return TextInput{value.get<std::string>(), {}};
}

// A string, a list of token ids, or a list of such.
Result<std::vector<TextInput>> inputs_of(const Json& value, const RequestLimits& limits) {
  std::vector<TextInput> inputs;
  const bool is_one = value.is_string() || (value.is_array() && !value.empty() && value[0].is_number());
  if (is_one) {
    inputs.push_back(TRY(input_of(value, "input")));
  } else {
    if (!value.is_array() || value.empty() || value.size() > limits.embedding_inputs_max)
      return wrong("input must be a string, a list of token ids, or a list of 1 to " + std::to_string(limits.embedding_inputs_max) + " of them", "input");
    for (std::size_t i = 0; i < value.size(); ++i) inputs.push_back(TRY(input_of(value[i], "input[" + std::to_string(i) + "]")));
  }
  std::size_t bytes = 0;
  for (const auto& input : inputs) bytes += input.text.size() + kTokenBytes * input.tokens.size();
  if (bytes > limits.prompt_bytes_max) return fail(ErrorCode::limit_exceeded, "input is longer than " + std::to_string(limits.prompt_bytes_max) + " bytes (a token counts as four)", "input");
  return inputs;
}

// The shortest text of each number that reads as the same float.
void append_numbers(std::string& out, const std::vector<float>& numbers) {
  out += '[';
  std::array<char, 32> text;
  for (const auto& number : numbers) {
    if (&number != numbers.data()) out += ',';
    out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
  }
  out += ']';
}

}  // namespace

Result<CompletionRequest> parse_embedding_request(const std::string& body, const RequestLimits& limits) {
  auto fields = TRY(Fields::of(body));
  CompletionRequest request;
  request.protocol = Protocol::embedding;
  request.model = TRY(fields.text("model", 256, limits.model_default));
  if (request.model.empty()) return wrong("model is empty", "model");
  request.generate.texts = TRY(inputs_of(fields.take("input"), limits));
  request.generate.greedy = true;  // nothing is drawn
  request.generate.max_tokens = 0;
  const auto encoding = TRY(fields.text("encoding_format", 16, "float"));
  if (encoding != "float" && encoding != "base64") return wrong("encoding_format must be float or base64", "encoding_format");
  request.base64 = encoding == "base64";
  if (const auto dimensions = TRY(fields.integer("dimensions", 0, 1, kDimensionsMax)); dimensions > 0) request.dimensions = static_cast<int>(dimensions);
  (void)TRY(fields.text_if_any("user", 512));
  TRY(fields.end());
  return request;
}

std::vector<float> numbers_of_embedding(const std::string& base64) {
  static_assert(std::endian::native == std::endian::little);
  const auto bytes = from_base64(base64).value_or(Bytes());
  std::vector<float> numbers(bytes.size() / sizeof(float));
  if (!numbers.empty()) std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(float));
  return numbers;
}

std::string embeddings_body(const std::string& model, const std::vector<std::string>& embeddings, bool as_base64, int prompt_tokens) {
  std::string body = R"({"object":"list","data":[)";
  for (std::size_t i = 0; i < embeddings.size(); ++i) {
    if (i > 0) body += ',';
    body += R"({"object":"embedding","index":)" + std::to_string(i) + R"(,"embedding":)";
    if (as_base64) body += '"' + embeddings[i] + '"';
    else append_numbers(body, numbers_of_embedding(embeddings[i]));
    body += '}';
  }
  const auto tokens = std::to_string(prompt_tokens);
  return body + R"(],"model":)" + dump_json(model) + R"(,"usage":{"prompt_tokens":)" + tokens + R"(,"total_tokens":)" + tokens + "}}";
}

}  // namespace redoubt::openai
