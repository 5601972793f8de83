// SPDX-License-Identifier: Apache-2.0
//
// The outer form of a SentencePiece model (sentencepiece_model.proto): a protobuf of pieces and specifications, nothing
// more.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

namespace redoubt::model_scan {

// invalid_argument with what is wrong and the byte in the message; limit_exceeded for too many pieces.
Status check_sentencepiece(ByteView file, std::string_view where);

}  // namespace redoubt::model_scan
