// The members of OpenAI-shaped request bodies and what they do.
#pragma once

#include <span>

#include "server/api/request_fields.h"

namespace ft::server {

std::span<const RequestField> openai_chat_fields();
std::span<const RequestField> openai_completions_fields();

}  // namespace ft::server
