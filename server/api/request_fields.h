// What each member of a request body does: one table per API, from which docs/api.md is written.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "encoding/ordered_json.h"
#include "server/http/api_error.h"

namespace ft::server {

enum class FieldEffect {
  kActs,
  kNone,     // accepted: it changes nothing about an answer of this server
  kRefused,  // it would change the answer, and this server cannot
};

struct RequestField {
  std::string_view name;
  FieldEffect effect;
  std::string_view note;  // for kRefused: what to do instead, or why not; "" where nothing helps
};

// A 400 that names the first member which `fields` refuses. One that asks for nothing (null, false, "", [], {}) is no
// reason to refuse. Members that no table knows are accepted: clients send ones of their own.
// `path` names the object where it is not the body.
ApiResult<void> check_fields(const encoding::Json& object, std::span<const RequestField> fields,
                             std::string_view path = "");

// A Markdown table of `fields`, in their order.
std::string fields_markdown(std::span<const RequestField> fields);

}  // namespace ft::server
