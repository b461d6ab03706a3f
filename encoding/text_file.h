// The files of a tokenizer: read whole, with their kind and size checked before.
#pragma once

#include <cstdint>
#include <string>

#include "encoding/error.h"

namespace ft::encoding {

// Whether anything is at `path`: also a link that leads nowhere.
bool is_there(const std::string& path);

// The bytes of a regular file of at most `max_bytes`. kFileNotFound where nothing is there or a link leads
// nowhere; kInvalidFile for a folder, pipe or device, one that may not be read, or a larger one. Errors name
// the path.
EncodingResult<std::string> read_file(const std::string& path, int64_t max_bytes);

}  // namespace ft::encoding
