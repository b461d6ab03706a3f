#include "server/api/content_parts.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ft::server {
namespace {

using encoding::Json;

constexpr std::array<std::string_view, 5> kTextParts = {"text", "input_text", "output_text", "reasoning_text",
                                                        "summary_text"};

ApiResult<std::string> part_text(const Json& part, const std::string& path) {
  if (!part.is_object()) return refuse(bad_field(path, type_message(path, "an object", part)));
  FieldReader fields(part, path);
  auto type = required_text(fields, "type");
  if (!type) return type;
  if (*type == "refusal") {
    auto text = fields.text("refusal");
    if (fields.error()) return refuse(*fields.error());
    return std::move(text).value_or("");
  }
  if (std::find(kTextParts.begin(), kTextParts.end(), *type) != kTextParts.end())
    return required_text(fields, "text");
  return refuse(bad_field(fields.path("type"), fmt::format("'{}' is '{}', but this model reads text only",
                                                           fields.path("type"), type->substr(0, 80))));
}

}  // namespace

ApiError missing(const FieldReader& fields, std::string_view name) {
  return bad_field(fields.path(name), fmt::format("'{}' is missing", fields.path(name)));
}

ApiResult<std::string> required_text(FieldReader& fields, std::string_view name) {
  auto text = fields.text(name);
  if (fields.error()) return refuse(*fields.error());
  if (!text) return refuse(missing(fields, name));
  return std::move(*text);
}

ApiResult<std::string> content_text(const Json& content, const std::string& path,
                                    std::string_view separator) {
  if (content.is_string()) return content.as_string();
  if (!content.is_array())
    return refuse(bad_field(path, type_message(path, "a string or an array of parts", content)));
  std::string joined;
  for (size_t i = 0; i < content.size(); ++i) {
    auto text = part_text(content.as_array()[i], fmt::format("{}[{}]", path, i));
    if (!text) return text;
    if (i > 0) joined += separator;
    joined += *text;
  }
  return joined;
}

}  // namespace ft::server
