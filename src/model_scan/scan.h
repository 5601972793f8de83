// SPDX-License-Identifier: Apache-2.0
//
// One scan under way: which parser looks at which file or member of a file, and what they found.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/stream.h"
#include "model_scan/file_kinds.h"
#include "model_scan/report.h"

namespace redoubt::model_scan {

// Where something lies: a file, and within it the members from the outermost to the innermost.
struct Place {
  std::string path;         // of the file
  std::string member = {};  // "a.pt!archive/data.pkl", empty for the file itself
  int depth = 0;
  // The name that tells what kind it should be.
  std::string_view name() const;
  Place inside(std::string_view name) const;
};

class Scan {
 public:
  // Looks at a file or member whatever it turns out to be. Errors are the machine's; what is wrong with the contents is a finding.
  Status look(const RandomAccess& object, const Place& place);

  void add(const Place& place, std::string kind, std::string rule, std::string severity, std::string detail, std::uint64_t offset = 0, std::string opcode = "");
  void count_file(std::uint64_t bytes);
  std::size_t findings() const { return scan_.findings.size(); }
  ModelScan take() { return std::move(scan_); }

  // What the parsers of a kind do; each is in a file of its own.
  // `storages`: of a torch.save archive, where its tensors' bytes lie beside the pickle; their sizes as the pickle has them are put there.
  Status look_at_pickle(const RandomAccess& object, const Place& place, std::map<std::string, std::uint64_t>* storages = nullptr);
  Status look_at_zip(const RandomAccess& object, const Place& place);
  Status look_at_tar(const RandomAccess& object, const Place& place);
  Status look_at_compressed(const RandomAccess& object, const Place& place);
  Status look_at_array(const RandomAccess& object, const Place& place);
  Status look_at_hdf5(const RandomAccess& object, const Place& place);
  Status look_at_saved_model(const RandomAccess& object, const Place& place);
  Status look_at_onnx(const RandomAccess& object, const Place& place);
  Status look_at_json(const RandomAccess& object, const Place& place);
  Status look_at_text(const RandomAccess& object, const Place& place);
  void judge_keras_config(const Json& config, const Place& place);
  void judge_template(std::string_view text, const Place& place, std::string_view name);

  // A failed look is a finding of kind `kind`, unless the machine failed.
  Status settle(const Error& error, const Place& place, const char* kind, const char* rule);

 private:
  Status look_by_name(FileKind named, const RandomAccess& object, const Place& place);
  Status look_at_safetensors(const RandomAccess& object, const Place& place);
  Status look_at_gguf(const RandomAccess& object, const Place& place);
  Status look_at_tokenizer_model(const RandomAccess& object, const Place& place);
  Result<bool> look_at_container(ByteView first, const RandomAccess& object, const Place& place);
  Result<bool> look_by_content(FileKind named, ByteView first, const RandomAccess& object, const Place& place);
  Status look_for_late_pickle(const RandomAccess& object, const Place& place);
  Status look_at_hidden_pickle(const RandomAccess& object, const Place& place);
  void refuse_content(const Place& place, FileKind found, std::uint64_t offset);
  ModelScan scan_;
};

}  // namespace redoubt::model_scan
