// `foretoken-server chat`: a conversation in the terminal with a running server, over its HTTP API.
#pragma once

#include <iosfwd>

#include "server/options.h"

namespace ft::server {

// Reads a message a line from `in` until its end or /exit; writes replies as they stream, reasoning dimmed
// (in `colour`), then one line on speculation. The process's exit code: 0, or 2 when the server cannot be
// used.
int run_chat(const ChatOptions& options, std::istream& in, std::ostream& out, bool colour);

}  // namespace ft::server
