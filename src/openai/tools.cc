// SPDX-License-Identifier: Apache-2.0
#include "openai/tools.h"

#include <algorithm>

#include "base/member_text.h"
#include "openai/fields.h"

namespace redoubt::openai {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kOpen = "<tool_call>", kClose = "</tool_call>", kPythonTag = "<|python_tag|>";
constexpr std::string_view kSpace = " \t\r\n";
constexpr std::size_t kNameMax = 64, kIdMax = 64, kCallsMax = 128, kCallBytesMax = 256 << 10;

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameMax && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '-';
  });
}

// Nothing but what is known, so that a misspelt member is not passed over.
Status only_members(const Json& object, std::initializer_list<std::string_view> known, const std::string& field) {
  if (!object.is_object()) return wrong(field + " must be an object", field);
  for (const auto& [key, unused] : object.items())
    if (std::find(known.begin(), known.end(), key) == known.end()) return wrong("unknown parameter: " + field + "." + key.substr(0, 64), field);
  return {};
}

Result<std::string> parse_tool(const Json& tool, const ToolLimits& limits, const std::string& field) {
  TRY(only_members(tool, {"type", "function"}, field));
  if (tool.value("type", Json()) != "function") return wrong(field + ".type must be function", field);
  const auto function = tool.value("function", Json());
  TRY(only_members(function, {"name", "description", "parameters", "strict"}, field + ".function"));
  const auto name = function.value("name", Json()), text = function.value("description", Json()), strict = function.value("strict", Json());
  if (!name.is_string() || !is_name(name.get_ref<const std::string&>())) return wrong(field + ".function.name must have 1 to 64 letters, digits, '_' or '-'", field);
  if (!text.is_null() && (!text.is_string() || characters_of(text.get_ref<const std::string&>()) > limits.description_max))
    return wrong(field + ".function.description must be a string of at most " + std::to_string(limits.description_max) + " characters", field);
  if (!strict.is_null() && !strict.is_boolean()) return wrong(field + ".function.strict must be true or false", field);
  const auto parameters = function.value("parameters", Json());
  if (!parameters.is_null() && !parameters.is_object()) return wrong(field + ".function.parameters must be a JSON Schema object", field);
  return name.get<std::string>();
}

struct Choice {
  ToolChoice kind = ToolChoice::automatic;
  std::string only = {};
};

Result<Choice> parse_choice(const Json& choice) {
  const std::string field = "tool_choice";
  if (choice.is_null() || choice == "auto") return Choice{};
  if (choice == "none") return Choice{ToolChoice::none};
  if (choice == "required") return Choice{ToolChoice::required};
  if (!choice.is_object()) return wrong("tool_choice must be none, auto, required or name a function", field);
  TRY(only_members(choice, {"type", "function"}, field));
  const auto function = choice.value("function", Json());
  TRY(only_members(function, {"name"}, field));
  if (choice.value("type", Json()) != "function" || !function.value("name", Json()).is_string()) return wrong("tool_choice must name a function", field);
  return Choice{ToolChoice::required, function["name"].get<std::string>()};
}

enum class Keys { keywords, names };

// The references of a schema that comes to stand within another one at `place`.
void move_references(OrderedJson& schema, const std::string& place, Keys keys = Keys::keywords) {
  if (schema.is_array())
    for (auto& inner : schema) move_references(inner, place);
  if (!schema.is_object()) return;
  for (auto& [key, inner] : schema.items()) {
    if (keys == Keys::names) {
      move_references(inner, place);
    } else if (key == "$ref" && inner.is_string()) {
      const auto to = inner.get<std::string>();
      if (to == "#" || to.starts_with("#/")) inner = place + to.substr(1);
    } else if (key != "const" && key != "enum" && key != "default" && key != "examples") {
      move_references(inner, place, key == "properties" || key == "$defs" || key == "definitions" ? Keys::names : Keys::keywords);
    }
  }
}

// A tool's parameters as a part of the schema of its call: what names a whole document has no place there.
OrderedJson parameters_of(const OrderedJson& function, const std::string& place) {
  if (!function.contains("parameters") || !function["parameters"].is_object()) return OrderedJson{{"type", "object"}};
  OrderedJson parameters = function["parameters"];
  parameters.erase("$schema");
  parameters.erase("$id");
  move_references(parameters, place);
  return parameters;
}

// The one call of any of the named tools, with the tools' parameters in the order of their writer.
std::string call_schema_of(std::string_view list, const std::vector<std::string>& names) {
  std::vector<OrderedJson> functions;
  for (const auto text : element_texts(list)) {
    auto function = OrderedJson::parse(text)["function"];
    if (std::find(names.begin(), names.end(), function["name"].get<std::string>()) != names.end()) functions.push_back(std::move(function));
  }
  OrderedJson branches = OrderedJson::array();
  for (const auto& function : functions) {
    const auto branch = functions.size() == 1 ? "#" : "#/anyOf/" + std::to_string(branches.size());
    branches.push_back({{"type", "object"},
                        {"properties", {{"name", {{"const", function["name"]}}}, {"arguments", parameters_of(function, branch + "/properties/arguments")}}},
                        {"required", {"name", "arguments"}},
                        {"additionalProperties", false}});
  }
  return (branches.size() == 1 ? branches[0] : OrderedJson{{"anyOf", branches}}).dump();
}

std::string with_name(OrderedJson message, std::string_view name) {
  if (!name.empty()) message["name"] = name;
  return message.dump();
}

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

// How much of the end of `text` may be the beginning of `tag`, with the white space before it.
std::size_t undecided(std::string_view text, std::string_view tag) {
  std::size_t keep = 0;
  for (std::size_t size = std::min(tag.size() - 1, text.size()); size > 0 && keep == 0; --size)
    if (tag.starts_with(text.substr(text.size() - size))) keep = size;
  while (keep < text.size() && kSpace.find(text[text.size() - keep - 1]) != kSpace.npos) ++keep;
  return keep;
}

// Where the JSON object at the beginning of `text` ends; 0 when it does not.
std::size_t object_end(std::string_view text) {
  std::size_t depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
      continue;
    }
    if (c == '"') quoted = true;
    if (c == '{') ++depth;
    if (c == '}' && --depth == 0) return i + 1;
  }
  return 0;
}

}  // namespace

std::size_t characters_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

Result<Tools> parse_tools(const Json& tools, const Json& choice, std::string_view body, const ToolLimits& limits) {
  Tools out;
  if (limits.tools_max == 0) {
    if (!tools.is_null() && tools != Json::array()) return fail(ErrorCode::unsupported, "tools has a value that this endpoint does not support", "tools");
    if (choice.is_null() || choice == "none" || choice == "auto") return out;
    return fail(ErrorCode::unsupported, "tool_choice has a value that this endpoint does not support", "tool_choice");
  }
  const auto chosen = TRY(parse_choice(choice));
  out.choice = chosen.kind;
  if (tools.is_null() || (tools.is_array() && tools.empty())) {
    if (out.choice == ToolChoice::required) return wrong("tool_choice asks for a tool, and there are no tools", "tool_choice");
    return out;
  }
  if (!tools.is_array() || tools.size() > limits.tools_max) return wrong("tools must be a list of at most " + std::to_string(limits.tools_max), "tools");
  const auto text = member_text(body, {"tools"});
  if (!text || text->size() > limits.bytes_max) return fail(ErrorCode::limit_exceeded, "tools are longer than " + std::to_string(limits.bytes_max) + " bytes", "tools");
  for (const auto& tool : tools) {
    auto name = TRY(parse_tool(tool, limits, "tools[" + std::to_string(out.names.size()) + "]"));
    out.names.push_back(std::move(name));
  }
  if (!chosen.only.empty()) {
    if (std::find(out.names.begin(), out.names.end(), chosen.only) == out.names.end()) return wrong("tool_choice names no tool of the list", "tool_choice");
    out.names = {chosen.only};
  }
  out.json = std::string(*text);
  if (out.choice == ToolChoice::required) out.call_schema = call_schema_of(*text, out.names);
  return out;
}

Result<std::string> message_with_calls(std::string_view content, const Json& calls, std::string_view name_of_speaker, const std::string& field) {
  if (!calls.is_array() || calls.empty() || calls.size() > kCallsMax) return wrong(field + " must be a list of 1 to 128 calls", field);
  OrderedJson message = {{"role", "assistant"}, {"content", content}, {"tool_calls", OrderedJson::array()}};
  for (const auto& call : calls) {
    TRY(only_members(call, {"id", "type", "function"}, field));
    const auto function = call.value("function", Json());
    TRY(only_members(function, {"name", "arguments"}, field));
    const auto id = call.value("id", Json()), name = function.value("name", Json()), arguments = function.value("arguments", Json());
    if (call.value("type", Json()) != "function" || !id.is_string() || characters_of(id.get_ref<const std::string&>()) > kIdMax || !name.is_string() ||
        !is_name(name.get_ref<const std::string&>()) || !arguments.is_string())
      return wrong(field + " must hold calls of the form {id, type, function: {name, arguments}}", field);
    const auto& text = arguments.get_ref<const std::string&>();
    const auto checked = parse_json(text, field, {kCallBytesMax, 32});
    const auto read = checked && checked->is_object() ? OrderedJson::parse(text) : OrderedJson(text);
    message["tool_calls"].push_back({{"id", id.get<std::string>()}, {"type", "function"}, {"function", {{"name", name.get<std::string>()}, {"arguments", read}}}});
  }
  return with_name(std::move(message), name_of_speaker);
}

std::string message_of_tool(std::string_view content, std::string_view call_id, std::string_view name) {
  OrderedJson message = {{"role", "tool"}, {"content", content}};
  if (!call_id.empty()) message["tool_call_id"] = call_id;
  return with_name(std::move(message), name);
}

std::string message_of_participant(std::string_view role, std::string_view content, std::string_view name) { return with_name({{"role", role}, {"content", content}}, name); }

ToolCallReader::ToolCallReader(Tools tools) : tools_(std::move(tools)) {
  if (tools_.choice == ToolChoice::required) state_ = State::whole;
}

ToolCallReader::Found ToolCallReader::take(std::string_view piece) {
  Found found;
  held_ += piece;
  while (step(found)) continue;
  return found;
}

bool ToolCallReader::step(Found& found) {
  switch (state_) {
    case State::begin: {
      const auto text = std::string_view(held_).substr(std::min(held_.find_first_not_of(kSpace), held_.size()));
      if (text.size() < kPythonTag.size() && kPythonTag.starts_with(text)) return false;  // nothing yet, or not enough to tell
      state_ = text.front() == '{' || text.starts_with(kPythonTag) ? State::whole : State::text;
      return true;
    }
    case State::text: return step_text(found);
    case State::call: return step_call(found);
    case State::whole: return false;
  }
  return false;
}

bool ToolCallReader::step_text(Found& found) {
  const auto open = held_.find(kOpen);
  if (open == held_.npos) {
    const auto keep = undecided(held_, kOpen);
    found.text += held_.substr(0, held_.size() - keep);
    held_.erase(0, held_.size() - keep);
    return false;
  }
  // The line ends between a text and its calls belong to the calls' form.
  const auto text = std::string_view(held_).substr(0, open);
  const auto last = text.find_last_not_of(kSpace);
  found.text += text.substr(0, last == text.npos ? 0 : last + 1);
  held_.erase(0, last == text.npos ? 0 : last + 1);
  state_ = State::call;
  return true;
}

// `held_` begins with white space and the tag.
bool ToolCallReader::step_call(Found& found) {
  const auto close = held_.find(kClose);
  if (close == held_.npos && held_.size() <= kCallBytesMax) return false;
  const auto end = close == held_.npos ? held_.size() : close + kClose.size();
  const auto body = std::string_view(held_).substr(0, std::min(close, held_.size()));
  if (close == held_.npos || !add_call(trimmed(body.substr(body.find(kOpen) + kOpen.size())), found)) found.text += held_.substr(0, end);
  held_.erase(0, end);
  state_ = State::text;
  return true;
}

bool ToolCallReader::add_call(std::string_view json, Found& found) {
  const auto parsed = parse_json(json, "tool call", {kCallBytesMax, 32});
  if (!parsed || !parsed->is_object() || calls_ == kCallsMax) return false;
  const auto name = json_or(*parsed, "name", "");
  if (std::find(tools_.names.begin(), tools_.names.end(), name) == tools_.names.end()) return false;
  const char* member = parsed->contains("arguments") ? "arguments" : "parameters";
  std::string arguments = "{}";
  if (parsed->contains(member)) {
    const auto& value = parsed->at(member);
    // Some models write the object's text as a string.
    const auto inner = value.is_string() ? parse_json(value.get_ref<const std::string&>(), "tool call", {kCallBytesMax, 32}) : Result<Json>(value);
    if (!inner || !inner->is_object()) return false;
    arguments = value.is_string() ? value.get<std::string>() : std::string(*member_text(json, {member}));
  }
  if (calls_++ < tools_.calls_max) found.calls.push_back({name, std::string(trimmed(arguments))});
  return true;
}

// All or nothing: an answer that is half a call is an answer.
bool ToolCallReader::add_whole(std::string_view text, Found& found) {
  auto rest = trimmed(text);
  if (rest.starts_with(kPythonTag)) rest = trimmed(rest.substr(kPythonTag.size()));
  const auto before = calls_;
  while (!rest.empty()) {
    const auto end = rest.front() == '{' ? object_end(rest) : 0;
    if (end == 0 || !add_call(rest.substr(0, end), found)) {
      calls_ = before;
      found.calls.clear();
      return false;
    }
    rest = trimmed(rest.substr(end));
    if (rest.starts_with(";")) rest = trimmed(rest.substr(1));
  }
  return calls_ > before;
}

ToolCallReader::Found ToolCallReader::end() {
  Found found;
  if (state_ == State::whole) {
    if (!add_whole(held_, found)) found.text = held_;
  } else if (state_ == State::call) {
    // A stop string or the end-of-turn token may stand for the closing tag.
    const auto body = std::string_view(held_).substr(held_.find(kOpen) + kOpen.size());
    if (!add_call(trimmed(body), found)) found.text = held_;
  } else {
    found.text = held_;
  }
  held_.clear();
  return found;
}

}  // namespace redoubt::openai
