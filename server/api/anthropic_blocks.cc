#include "server/api/anthropic_blocks.h"

#include <utility>

namespace ft::server {

using encoding::Json;

namespace {

constexpr std::string_view kParagraph = "\n\n";

ApiResult<std::string> document_text(Block& block) {
  const Json* source = block.fields.object("source");
  const auto title = block.fields.text("title");
  const auto context = block.fields.text("context");
  if (block.fields.error()) return refuse(*block.fields.error());
  if (source == nullptr) return refuse(missing(block.fields, "source"));
  auto inner = read_block(*source, block.fields.path("source"));
  if (!inner) return refuse(inner.error());
  ApiResult<std::string> data;
  if (inner->type == "text") {
    data = required_text(inner->fields, "data");
  } else if (inner->type == "content") {
    const Json* content = inner->fields.any("content");
    if (content == nullptr) return refuse(missing(inner->fields, "content"));
    data = joined_text(*content, inner->fields.path("content"));
  } else {
    return refuse(wrong_type(*inner, "text or content, since this model reads text only"));
  }
  if (!data) return data;
  std::string text;
  for (const std::string& part : {title.value_or(""), context.value_or(""), *data})
    append_paragraph(text, part);
  return text;
}

}  // namespace

ApiResult<Block> read_block(const Json& value, std::string path) {
  if (!value.is_object()) return refuse(bad_field(path, type_message(path, "an object", value)));
  FieldReader fields(value, std::move(path));
  auto type = required_text(fields, "type");
  if (!type) return refuse(type.error());
  return Block{std::move(fields), std::move(*type)};
}

ApiError wrong_type(const Block& block, std::string_view expected) {
  const std::string path = block.fields.path("type");
  return bad_field(path, fmt::format("'{}' is '{}': expected {}", path, block.type.substr(0, 80), expected));
}

bool is_text(const Block& block) {
  return block.type == "text" || block.type == "document";
}

ApiResult<std::string> block_text(Block& block) {
  return block.type == "text" ? required_text(block.fields, "text") : document_text(block);
}

ApiResult<std::string> joined_text(const Json& content, const std::string& path) {
  if (content.is_string()) return content.as_string();
  if (!content.is_array())
    return refuse(bad_field(path, type_message(path, "a string or an array of blocks", content)));
  std::string joined;
  for (size_t i = 0; i < content.size(); ++i) {
    auto block = read_block(content.as_array()[i], fmt::format("{}[{}]", path, i));
    if (!block) return refuse(block.error());
    if (!is_text(*block))
      return refuse(wrong_type(*block, "text or document, since this model reads text only"));
    auto text = block_text(*block);
    if (!text) return text;
    append_paragraph(joined, *text);
  }
  return joined;
}

void append_paragraph(std::string& text, std::string_view more) {
  if (more.empty()) return;
  if (!text.empty()) text += kParagraph;
  text += more;
}

}  // namespace ft::server
