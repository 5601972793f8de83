// SPDX-License-Identifier: Apache-2.0
#include "base/terminal.h"

namespace redoubt {

std::string without_control_characters(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f) text[i] = '?';
    if (byte != 0xc2 || i + 1 >= text.size()) continue;
    const auto next = static_cast<unsigned char>(text[i + 1]);  // U+0080 to U+009F are c2 80 to c2 9f
    if (next >= 0x80 && next <= 0x9f) text.replace(i, 2, "?");
  }
  return text;
}

}  // namespace redoubt
