// SPDX-License-Identifier: Apache-2.0
//
// One text on its way through the endpoint, whole or piece by piece. However it is cut into pieces, what comes out is the same, and nothing
// of what is taken out or refused comes out before the rest of it is known: it waits here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "guards/scanner.h"

namespace redoubt::guards {

class TextFilter {
 public:
  // The scanner outlives it.
  explicit TextFilter(const Scanner& scanner) : scanner_(&scanner) {}
  // What may be told by now.
  std::string take(std::string_view piece);
  // The rest. Nothing may be taken after it.
  std::string end();
  // Something is refused: what came out ends before it, and nothing more comes.
  bool refused() const { return refused_; }
  // What was found since the last call.
  std::vector<Hit> take_hits() { return std::exchange(hits_, {}); }

 private:
  std::string advance(Text is);
  std::string release(std::size_t cut, std::vector<Finding>& findings);
  void forget(const Looked& looked);

  const Scanner* scanner_;
  std::string window_;          // the text from some place on that is no candidate's inside
  std::size_t released_ = 0;    // of the window
  std::size_t next_look_ = 0;   // a window that is held as a whole is not looked at for every piece
  bool refused_ = false;
  std::vector<Hit> hits_;
};

}  // namespace redoubt::guards
