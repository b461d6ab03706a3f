// Text of a model, made safe for a terminal.
#pragma once

#include <string>
#include <string_view>

namespace ft::server {

// Without what a terminal would act on: control characters but for line ends and tabs. `text` is UTF-8.
std::string terminal_text(std::string_view text);

}  // namespace ft::server
