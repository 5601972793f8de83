// SPDX-License-Identifier: Apache-2.0
//
// ONNX models (onnx.proto): tensors that lie in other files, operators that are not ONNX's.
#include <fmt/format.h>

#include <set>
#include <utility>

#include "base/file.h"
#include "model_scan/protobuf.h"
#include "model_scan/scan.h"

namespace redoubt::model_scan {
namespace {

constexpr int kGraphsDepthMax = 32;
constexpr std::uint64_t kOnnxTextMax = 64 << 10;

class OnnxFile {
 public:
  OnnxFile(Scan& scan, const RandomAccess& object, const Place& place) : scan_(scan), object_(object), place_(place) {}

  Status run() {
    bool has_graph = false, has_version = false;
    TRY(fields(0, object_.size(), [&](const ProtobufField& field) -> Status {
      has_version = has_version || (field.number == 1 && field.wire == ProtobufReader::kVarint);
      if (field.number == 25 && field.wire == ProtobufReader::kBytes) return note_function(field);
      return {};
    }));
    TRY(fields(0, object_.size(), [&](const ProtobufField& field) -> Status {
      if (field.number > 30) malformed(field.begin);
      if (field.wire != ProtobufReader::kBytes) return {};
      has_graph = has_graph || field.number == 7;
      if (field.number == 7) return graph(field, 0);
      if (field.number == 20) return training(field);
      if (field.number == 25) return function(field);
      return {};
    }));
    if (!has_graph || !has_version) malformed(0);
    return {};
  }

 private:
  template <class Each>
  Status fields(std::uint64_t begin, std::uint64_t bytes, Each each) {
    ProtobufReader reader(object_, begin, bytes);
    while (const auto field = reader.next()) TRY(each(*field));
    if (reader.error()) return fail(*reader.error());
    if (reader.is_broken()) malformed(reader.offset());
    return {};
  }

  void malformed(std::uint64_t offset) {
    if (!std::exchange(is_malformed_, true)) scan_.add(place_, "malformed", "onnx/malformed", "high", "not an ONNX model that can be read to its end", std::min(offset, object_.size()));
  }

  Result<std::string> text(const ProtobufField& field) {
    Bytes bytes(static_cast<std::size_t>(std::min(field.bytes, kOnnxTextMax)));
    TRY(object_.read_at(field.begin, bytes));
    return to_text(bytes);
  }

  Status note_function(const ProtobufField& function) {
    std::string domain, name;
    TRY(fields(function.begin, function.bytes, [&](const ProtobufField& field) -> Status {
      if (field.number == 1 && field.wire == ProtobufReader::kBytes) name = TRY(text(field));
      if (field.number == 10 && field.wire == ProtobufReader::kBytes) domain = TRY(text(field));
      return {};
    }));
    own_functions_.emplace(std::move(domain), std::move(name));
    return {};
  }

  Status function(const ProtobufField& function) {
    return fields(function.begin, function.bytes, [&](const ProtobufField& field) -> Status {
      if (field.wire != ProtobufReader::kBytes) return {};
      if (field.number == 7) return node(field, 0);
      if (field.number == 11) return attribute(field, 0);
      return {};
    });
  }

  Status training(const ProtobufField& training) {
    return fields(training.begin, training.bytes, [&](const ProtobufField& field) { return field.wire == ProtobufReader::kBytes && (field.number == 1 || field.number == 2) ? graph(field, 0) : Status{}; });
  }

  Status graph(const ProtobufField& graph, int depth) {
    if (depth > kGraphsDepthMax) {
      malformed(graph.begin);
      return {};
    }
    return fields(graph.begin, graph.bytes, [&](const ProtobufField& field) -> Status {
      if (field.wire != ProtobufReader::kBytes) return {};
      if (field.number == 1) return node(field, depth);
      if (field.number == 5) return tensor(field);
      if (field.number == 15) return sparse_tensor(field);
      return {};
    });
  }

  Status node(const ProtobufField& node, int depth) {
    std::string domain, type;
    TRY(fields(node.begin, node.bytes, [&](const ProtobufField& field) -> Status {
      if (field.wire != ProtobufReader::kBytes) return {};
      if (field.number == 4) type = TRY(text(field));
      if (field.number == 7) domain = TRY(text(field));
      if (field.number == 5) return attribute(field, depth);
      return {};
    }));
    for (const char* known : {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft", "com.microsoft.nchwc"}) {
      if (domain == known) return {};
    }
    if (own_functions_.contains({domain, type}) || told_.size() > 100 || !told_.insert(domain + "." + type).second) return {};
    scan_.add(place_, "onnx", "onnx/custom-operator", "high", fmt::format("the operator {} of {} needs a library of its own to be loaded", type.substr(0, 100), domain.substr(0, 100)), node.begin);
    return {};
  }

  Status attribute(const ProtobufField& attribute, int depth) {
    return fields(attribute.begin, attribute.bytes, [&](const ProtobufField& field) -> Status {
      if (field.wire != ProtobufReader::kBytes) return {};
      if (field.number == 5 || field.number == 10) return tensor(field);
      if (field.number == 6 || field.number == 11) return graph(field, depth + 1);
      if (field.number == 22 || field.number == 23) return sparse_tensor(field);
      return {};
    });
  }

  Status sparse_tensor(const ProtobufField& tensors) {
    return fields(tensors.begin, tensors.bytes, [&](const ProtobufField& field) { return field.wire == ProtobufReader::kBytes && (field.number == 1 || field.number == 2) ? tensor(field) : Status{}; });
  }

  Status tensor(const ProtobufField& tensor) {
    return fields(tensor.begin, tensor.bytes, [&](const ProtobufField& field) -> Status { return field.number == 13 && field.wire == ProtobufReader::kBytes ? external(field) : Status{}; });
  }

  Status external(const ProtobufField& entry) {
    std::string key, value;
    TRY(fields(entry.begin, entry.bytes, [&](const ProtobufField& field) -> Status {
      if (field.wire == ProtobufReader::kBytes && field.number == 1) key = TRY(text(field));
      if (field.wire == ProtobufReader::kBytes && field.number == 2) value = TRY(text(field));
      return {};
    }));
    if (key != "location" || is_safe_relative_path(value.starts_with("./") ? value.substr(2) : value)) return {};
    scan_.add(place_, "onnx", "onnx/external-data", "critical", fmt::format("a tensor is read from outside of the model's folder: {}", value.substr(0, 200)), entry.begin);
    return {};
  }

  Scan& scan_;
  const RandomAccess& object_;
  const Place& place_;
  std::set<std::pair<std::string, std::string>> own_functions_;  // by domain and name
  std::set<std::string> told_;
  bool is_malformed_ = false;
};

}  // namespace

Status Scan::look_at_onnx(const RandomAccess& object, const Place& place) { return OnnxFile(*this, object, place).run(); }

}  // namespace redoubt::model_scan
