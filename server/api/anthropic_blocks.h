// The content blocks of Anthropic's API, one by one.
#pragma once

#include <string>
#include <string_view>

#include "encoding/ordered_json.h"
#include "server/api/content_parts.h"
#include "server/api/field_reader.h"
#include "server/http/api_error.h"

namespace ft::server {

// A block: the reader of its members, and its type. The JSON that it was read from must outlive it.
struct Block {
  FieldReader fields;
  std::string type;
};

// `path` names the block in errors: "messages[0].content[1]".
ApiResult<Block> read_block(const encoding::Json& value, std::string path);
// 400 on the block's type.
ApiError wrong_type(const Block& block, std::string_view expected);

// Whether the block is text or a document, and its text. A document is refused unless its source is text already; its
// title and context go in front, since the model is to read them.
bool is_text(const Block& block);
ApiResult<std::string> block_text(Block& block);

// The text of a string or of text blocks, as paragraphs.
ApiResult<std::string> joined_text(const encoding::Json& content, const std::string& path);

// Adds to a text after an empty line, which is what the format has between the blocks of a turn.
void append_paragraph(std::string& text, std::string_view more);

}  // namespace ft::server
