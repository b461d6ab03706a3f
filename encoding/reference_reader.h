// The reference's reader of a whole assistant turn: what it refuses is an error.
#pragma once

#include <string_view>

#include "encoding/assistant_message.h"
#include "encoding/error.h"

namespace ft::encoding {

// Reads a turn that begins right after "<think>" (`thinking`) or "</think>", EOS text included, in time
// proportional to its length. Errors have the kinds of the reference's exceptions. Arguments are not checked
// to be JSON. Source: encoding.md section 10.
EncodingResult<AssistantMessage> read_as_reference(std::string_view text, bool thinking);

}  // namespace ft::encoding
