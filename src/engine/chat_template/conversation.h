// SPDX-License-Identifier: Apache-2.0
//
// What a template gets to see of a conversation, as Transformers prepares it.
#pragma once

#include "engine/chat_template/chat_template.h"
#include "engine/chat_template/value.h"

namespace redoubt::engine::chat_template {

struct Conversation {
  Value messages = {}, tools = {}, documents = {};  // none where there are none
  Dict variables = {};
  std::string final_text = {};  // of the message to go on with
};

// Reads the JSON texts. A message's members that are null are left out, and one with reasoning under an older name gets it under the
// newer one too.
Result<Conversation> conversation_of(const std::vector<Message>& messages, const Extras& extras);

// Cuts a rendered text behind the final message, whose content was marked by `conversation_of`.
Status leave_open(const Conversation& conversation, MarkedText& marked);

}  // namespace redoubt::engine::chat_template
