// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/xml.h"

#include <expat.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "provider/aws/api/member_names.h"

namespace redoubt::provider::aws {
namespace {

struct Element {
  std::string name;
  std::string text;
  std::vector<std::pair<std::string, Json>> children;
};

Json xml_number(const std::string& text) {
  std::int64_t integer = 0;
  const char* end = text.data() + text.size();
  if (const auto parsed = std::from_chars(text.data(), end, integer); parsed.ec == std::errc{} && parsed.ptr == end) return integer;
  double number = 0;
  if (const auto parsed = std::from_chars(text.data(), end, number); parsed.ec == std::errc{} && parsed.ptr == end) return number;
  return text;
}

Json xml_time(const std::string& text) {
  const auto time = parse_rfc3339(text);
  if (!time) return xml_number(text);
  return static_cast<double>(time->time_since_epoch().count()) / 1000;
}

// A text as what its name says it is.
Json typed(std::string_view name, const std::string& text, const XmlOptions& options) {
  if (has_name(options.booleans, name) && (text == "true" || text == "false")) return text == "true";
  if (has_name(options.numbers, name)) return xml_number(text);
  if (has_name(options.times, name)) return xml_time(text);
  return text;
}

bool all_named(const Element& element, std::string_view name) {
  return std::all_of(element.children.begin(), element.children.end(), [&](const auto& child) { return child.first == name; });
}

// <entry><key>a</key><value>b</value></entry>, some services write them with capitals.
std::optional<Json> map_of(const Element& element, const XmlOptions& options) {
  Json out = Json::object();
  for (const auto& [name, entry] : element.children) {
    if (!entry.is_object() || entry.size() != 2) return std::nullopt;
    const auto key = entry.contains("key") ? entry.find("key") : entry.find("Name");
    const auto value = entry.contains("value") ? entry.find("value") : entry.find("Value");
    if (key == entry.end() || value == entry.end() || !key->is_string()) return std::nullopt;
    out[key->get<std::string>()] = value->is_string() ? typed(element.name, value->get<std::string>(), options) : *value;
  }
  return out;
}

Json object_of(Element& element, const XmlOptions& options) {
  Json out = Json::object();
  for (auto& [name, value] : element.children) {
    const auto found = out.find(name);
    if (found == out.end()) {
      out[name] = has_name(options.lists, name) ? Json::array({std::move(value)}) : std::move(value);
    } else if (found->is_array() && has_name(options.lists, name)) {
      found->push_back(std::move(value));
    } else {
      // The second of a name that nobody called a list.
      if (!found->is_array()) *found = Json::array({std::move(*found)});
      found->push_back(std::move(value));
    }
  }
  return out;
}

Json value_of(Element& element, const XmlOptions& options) {
  if (element.children.empty()) return has_name(options.wrappers, element.name) ? Json::array() : typed(element.name, element.text, options);
  if (all_named(element, "entry")) {
    if (auto map = map_of(element, options)) return std::move(*map);
  }
  if (all_named(element, "member") || all_named(element, "item") || has_name(options.wrappers, element.name)) {
    Json out = Json::array();
    for (auto& [name, value] : element.children) out.push_back(std::move(value));
    // Members of a list have no name of their own: the list's tells their type.
    for (auto& value : out) {
      if (value.is_string()) value = typed(element.name, value.get<std::string>(), options);
    }
    return out;
  }
  return object_of(element, options);
}

struct Builder {
  const XmlOptions& options;
  XML_Parser parser;
  std::vector<Element> open = {};
  std::size_t elements = 0;
  std::optional<XmlDocument> done = {};
  std::string refused = {};

  void refuse(std::string why) {
    if (refused.empty()) refused = std::move(why);
    XML_StopParser(parser, XML_FALSE);
  }

  void begin(std::string_view name) {
    if (open.size() == options.depth_max) return refuse("is nested too deeply");
    if (++elements > options.elements_max) return refuse("has too many elements");
    const auto colon = name.rfind(':');
    open.push_back({std::string(colon == name.npos ? name : name.substr(colon + 1)), {}, {}});
  }

  void end() {
    Element element = std::move(open.back());
    open.pop_back();
    Json value = value_of(element, options);
    if (open.empty()) {
      done = XmlDocument{std::move(element.name), std::move(value)};
    } else {
      open.back().children.emplace_back(std::move(element.name), std::move(value));
    }
  }
};

Builder& builder_of(void* user) { return *static_cast<Builder*>(user); }
void on_begin(void* user, const char* name, const char**) { builder_of(user).begin(name); }
void on_end(void* user, const char*) {
  if (auto& builder = builder_of(user); builder.refused.empty()) builder.end();
}
void on_text(void* user, const char* text, int size) {
  if (auto& builder = builder_of(user); !builder.open.empty()) builder.open.back().text.append(text, static_cast<std::size_t>(size));
}
// An answer has no use for a document type, and entities are how XML gets large.
void on_doctype(void* user, const char*, const char*, const char*, int) { builder_of(user).refuse("declares a document type"); }

}  // namespace

Result<XmlDocument> parse_xml(std::string_view text, std::string_view where, const XmlOptions& options) {
  if (text.size() > options.bytes_max) return fail(ErrorCode::limit_exceeded, "the XML is too long", std::string(where));
  const std::unique_ptr<XML_ParserStruct, void (*)(XML_Parser)> parser(XML_ParserCreate("UTF-8"), XML_ParserFree);
  if (!parser) return fail(ErrorCode::unavailable, "the XML parser has no memory");
  Builder builder{options, parser.get()};
  XML_SetUserData(parser.get(), &builder);
  XML_SetElementHandler(parser.get(), on_begin, on_end);
  XML_SetCharacterDataHandler(parser.get(), on_text);
  XML_SetStartDoctypeDeclHandler(parser.get(), on_doctype);
  const auto status = XML_Parse(parser.get(), text.data(), static_cast<int>(text.size()), XML_TRUE);
  if (!builder.refused.empty()) return fail(ErrorCode::limit_exceeded, "the XML " + builder.refused, std::string(where));
  if (status != XML_STATUS_OK || !builder.done) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("not well-formed XML, line {}: {}", XML_GetCurrentLineNumber(parser.get()), XML_ErrorString(XML_GetErrorCode(parser.get()))),
                std::string(where));
  }
  return std::move(*builder.done);
}

std::string xml_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\r': out += "&#13;"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace redoubt::provider::aws
