// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as the files that hold graphs and layers - HDF5, Keras metadata, SavedModel, ONNX, .npy - and as a template: the look ends, and what it finds lies within.
#include "base/check.h"
#include "base/memory_object.h"
#include "model_scan/scan.h"
#include "model_scan/template_judge.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace redoubt;
  const MemoryObject object(Bytes(data, data + size));
  for (const char* name : {"model.h5", "keras_metadata.pb", "saved_model.pb", "model.onnx", "a.npy", "chat_template.jinja", "tokenizer_config.json"}) {
    model_scan::Scan scan;
    CHECK(scan.look(object, {name}).has_value());
    for (const auto& finding : scan.take().findings) CHECK(!finding.rule.empty() && (!finding.member.empty() || finding.offset <= size));
  }
  if (const auto problem = model_scan::judge_template({reinterpret_cast<const char*>(data), size})) CHECK(problem->offset <= size);
  return 0;
}
