// Where commands put their figures.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace ft::eval {

// Writes `text` to `path`; nothing where `path` is "". kNotFound, naming the file, if that fails.
Result<void> write_report(const std::string& path, std::string_view text);

}  // namespace ft::eval
