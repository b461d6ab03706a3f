// Replies of `generate` bound to a JSON schema.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/error.h"
#include "encoding/tokenizer.h"
#include "scheduler/request.h"
#include "verify/grammar/vocabulary.h"

namespace ft::eval {

// Binds every request to the schema in a file: from the first token on, or behind the end of reasoning where the prompt
// ends within it. kInvalidArgument where the schema is refused; the message has the keyword and its path.
Result<void> bind_to_schema(const std::string& path, const encoding::Tokenizer& tokenizer,
                            std::shared_ptr<const grammar::Vocabulary> vocabulary,
                            std::span<scheduler::GenerateRequest> requests);

}  // namespace ft::eval
