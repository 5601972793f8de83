// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_template/conversation.h"

#include <algorithm>

#include "base/utf8.h"
#include "engine/chat_template/text_operations.h"

namespace redoubt::engine::chat_template {
namespace {

constexpr std::string_view kFinalMark = "CONTINUE_FINAL_MESSAGE_TAG ";
constexpr const char* kReasoning[] = {"reasoning_content", "thinking", "reasoning"};

// {"thinking": reasoning, **message, "reasoning_content": reasoning}
Dict with_reasoning(Dict message) {
  for (const auto* name : kReasoning) {
    const auto* found = find_member(message, name);
    if (!found || found->is_none()) continue;
    const auto reasoning = *found;
    // As Python builds the dict: "thinking" comes first, with the message's own value if it has one.
    const auto* own = find_member(message, "thinking");
    const auto thinking = own ? *own : reasoning;
    std::erase_if(message, [](const auto& member) { return member.first == "thinking"; });
    message.insert(message.begin(), {"thinking", thinking});
    set_member(message, "reasoning_content", reasoning);
    break;
  }
  return message;
}

Result<Dict> message_of(const Message& message) {
  if (message.json.empty()) {
    if (find_invalid_utf8(message.role) != std::string_view::npos || find_invalid_utf8(message.content) != std::string_view::npos)
      return fail(ErrorCode::invalid_argument, "a message is not UTF-8");
    return Dict{{"role", message.role}, {"content", message.content}};
  }
  const auto value = TRY(parse_value(message.json, "messages"));
  if (!value.dict()) return fail(ErrorCode::invalid_argument, "a message is not a JSON object", "messages");
  auto members = *value.dict();
  std::erase_if(members, [](const auto& member) { return member.second.is_none(); });
  return with_reasoning(std::move(members));
}

Result<Value> list_of(const std::string& json, const char* where) {
  if (json.empty()) return Value(None{});
  auto value = TRY(parse_value(json, where));
  if (value.is_none()) return value;
  const bool dicts = value.list() && std::ranges::all_of(*value.list(), [](const Value& item) { return item.dict() != nullptr; });
  if (!dicts) return fail(ErrorCode::invalid_argument, "not a JSON array of objects", where);
  return value;
}

// Puts the mark behind the content, or behind the last part of it that is text.
Status mark_final(Dict& message, std::string& final_text) {
  const auto* content = find_member(message, "content");
  if (content && content->text()) {
    final_text = *content->text();
    set_member(message, "content", Value(final_text + std::string(kFinalMark)));
    return {};
  }
  auto parts = content && content->list() ? *content->list() : List();
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    const auto* text = part->dict() ? find_member(*part->dict(), "text") : nullptr;
    if (!text || !text->text()) continue;
    final_text = *text->text();
    auto marked = *part->dict();
    set_member(marked, "text", Value(final_text + std::string(kFinalMark)));
    *part = Value::of(std::move(marked));
    set_member(message, "content", Value::of(std::move(parts)));
    return {};
  }
  return fail(ErrorCode::invalid_argument, "the final message has no text to go on with", "messages");
}

}  // namespace

Result<Conversation> conversation_of(const std::vector<Message>& messages, const Extras& extras) {
  Conversation out;
  List list;
  for (const auto& message : messages) {
    auto dict = TRY(message_of(message));
    if (extras.continue_final_message && &message == &messages.back()) TRY(mark_final(dict, out.final_text));
    list.push_back(Value::of(std::move(dict)));
  }
  if (extras.continue_final_message && messages.empty()) return fail(ErrorCode::invalid_argument, "there is no final message to go on with", "messages");
  out.messages = Value::of(std::move(list));
  out.tools = TRY(list_of(extras.tools, "tools"));
  out.documents = TRY(list_of(extras.documents, "documents"));
  if (extras.variables.empty()) return out;
  const auto variables = TRY(parse_value(extras.variables, "variables"));
  if (!variables.dict()) return fail(ErrorCode::invalid_argument, "not a JSON object", "variables");
  for (const char* taken : {"messages", "tools", "documents", "add_generation_prompt"})
    if (find_member(*variables.dict(), taken)) return fail(ErrorCode::invalid_argument, std::string("'") + taken + "' is given on its own", "variables");
  out.variables = *variables.dict();
  return out;
}

Status leave_open(const Conversation& conversation, MarkedText& marked) {
  const auto mark = strip(kFinalMark, Sides::both);
  const auto at = marked.text.rfind(mark);
  if (at == std::string::npos || marked.text.find(strip(conversation.final_text, Sides::both)) == std::string::npos)
    return fail(ErrorCode::unsupported, "the chat template does not write the final message as it is, so it can't be gone on with");
  // A template that strips the message took the mark's space, and with it what stood before it.
  const bool kept = std::string_view(marked.text).substr(at).starts_with(kFinalMark);
  marked.text.resize(at);
  if (!kept) marked.text.resize(strip(marked.text, Sides::right).size());
  std::erase_if(marked.generated, [&](const TextSpan& span) { return span.begin >= marked.text.size(); });
  for (auto& span : marked.generated) span.end = std::min(span.end, marked.text.size());
  return {};
}

}  // namespace redoubt::engine::chat_template
