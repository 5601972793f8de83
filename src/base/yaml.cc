// SPDX-License-Identifier: Apache-2.0
#include "base/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <charconv>

#include "base/file.h"
#include "base/tagged_yaml.h"

namespace redoubt {
namespace {

constexpr std::size_t kBytesMax = 1 << 20;
constexpr std::size_t kNodesMax = 10'000;
constexpr int kDepthMax = 32;

Json typed_scalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const char* begin = text.data() + (text[0] == '+' ? 1 : 0);
  const char* end = text.data() + text.size();
  std::int64_t integer = 0;
  if (auto [rest, error] = std::from_chars(begin, end, integer); error == std::errc() && rest == end) return integer;
  double number = 0;
  if (auto [rest, error] = std::from_chars(begin, end, number); error == std::errc() && rest == end &&
                                                                text.find_first_of("0123456789") != text.npos) {
    return number;
  }
  return text;
}

class Converter {
 public:
  Converter(YamlDocument& document, const YamlTagMeaning* meaning) : document_(document), meaning_(meaning) {}

  Result<Json> convert(const YAML::Node& node, const std::string& pointer, int depth) {
    document_.lines[pointer] = node.Mark().line + 1;
    if (++nodes_ > kNodesMax || depth > kDepthMax) {
      return fail(ErrorCode::limit_exceeded, "too many or too deeply nested values", document_.locate(pointer));
    }
    if (const auto& tag = node.Tag(); !tag.empty() && tag != "?" && tag != "!") return tagged(node, pointer, depth);
    switch (node.Type()) {
      case YAML::NodeType::Scalar: return scalar(node);
      case YAML::NodeType::Sequence: return sequence(node, pointer, depth);
      case YAML::NodeType::Map: return mapping(node, pointer, depth);
      default: return Json(nullptr);
    }
  }

 private:
  Result<Json> tagged(const YAML::Node& node, const std::string& pointer, int depth) {
    if (meaning_ == nullptr) return fail(ErrorCode::invalid_argument, "YAML tags are not used here", document_.locate(pointer), "remove the tag");
    Json value = node.IsScalar() ? Json(node.Scalar()) : node.IsSequence() ? TRY(sequence(node, pointer, depth)) : TRY(mapping(node, pointer, depth));
    auto meant = (*meaning_)(std::string_view(node.Tag()).substr(1), std::move(value));
    if (!meant) return fail(meant.error().code, meant.error().message, document_.locate(pointer), meant.error().hint);
    return meant;
  }

  static Json scalar(const YAML::Node& node) {
    return node.Tag() == "!" ? Json(node.Scalar()) : typed_scalar(node.Scalar());  // "!": it was quoted
  }

  Result<Json> sequence(const YAML::Node& node, const std::string& pointer, int depth) {
    Json out = Json::array();
    for (const auto& item : node) out.push_back(TRY(convert(item, fmt::format("{}/{}", pointer, out.size()), depth + 1)));
    return out;
  }

  Result<Json> mapping(const YAML::Node& node, const std::string& pointer, int depth) {
    Json out = Json::object();
    for (const auto& entry : node) {
      const int line = entry.first.Mark().line + 1;
      if (!entry.first.IsScalar()) {
        return fail(ErrorCode::invalid_argument, "a key is not a plain word", fmt::format("{}:{}", document_.file, line));
      }
      const std::string& key = entry.first.Scalar();
      if (out.contains(key)) {
        return fail(ErrorCode::invalid_argument, fmt::format("the key '{}' stands twice", key),
                    fmt::format("{}:{}", document_.file, line), "remove one of the two");
      }
      const std::string child = pointer + "/" + key;
      out[key] = TRY(convert(entry.second, child, depth + 1));
      document_.lines[child] = line;
    }
    return out;
  }

  YamlDocument& document_;
  const YamlTagMeaning* meaning_;
  std::size_t nodes_ = 0;
};

Result<YamlDocument> parse(std::string_view text, std::string file, const YamlTagMeaning* meaning) {
  YamlDocument document{std::move(file), {}, {}};
  try {
    const auto nodes = YAML::LoadAll(std::string(text));
    if (nodes.size() != 1) {
      return fail(ErrorCode::invalid_argument, nodes.empty() ? "the file is empty" : "more than one YAML document", document.file);
    }
    document.value = TRY(Converter(document, meaning).convert(nodes[0], "", 0));
    return document;
  } catch (const YAML::Exception& problem) {
    return fail(ErrorCode::invalid_argument, fmt::format("not valid YAML: {}", problem.msg),
                fmt::format("{}:{}", document.file, problem.mark.line + 1));
  }
}

}  // namespace

std::string YamlDocument::locate(std::string_view pointer) const {
  while (true) {
    if (const auto found = lines.find(std::string(pointer)); found != lines.end()) {
      return fmt::format("{}:{}", file, found->second);
    }
    const auto slash = pointer.rfind('/');
    if (slash == pointer.npos) return file;
    pointer = pointer.substr(0, slash);
  }
}

Result<YamlDocument> parse_yaml(std::string_view text, std::string file) { return parse(text, std::move(file), nullptr); }

Result<YamlDocument> parse_tagged_yaml(std::string_view text, std::string file, const YamlTagMeaning& meaning) {
  return parse(text, std::move(file), &meaning);
}

Result<YamlDocument> load_yaml(const std::filesystem::path& path) {
  return parse_yaml(TRY(read_text_file(path, kBytesMax)), path.string());
}

}  // namespace redoubt
