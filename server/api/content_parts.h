// The text of a message's content in OpenAI's APIs: a string or parts.
#pragma once

#include <string>
#include <string_view>

#include "encoding/ordered_json.h"
#include "server/api/field_reader.h"
#include "server/http/api_error.h"

namespace ft::server {

// 400 on a member that is not there.
ApiError missing(const FieldReader& fields, std::string_view name);
ApiResult<std::string> required_text(FieldReader& fields, std::string_view name);

// A string, or the texts of parts (text, input_text, output_text, reasoning_text, summary_text, refusal) with
// `separator` between them. Other parts are refused with their path: `path` is the content's own.
ApiResult<std::string> content_text(const encoding::Json& content, const std::string& path,
                                    std::string_view separator);

}  // namespace ft::server
