// `foretoken-server chat`: a conversation in the terminal with a running server, over its HTTP API.
#pragma once

#include <iosfwd>

#include "server/chat/line_input.h"
#include "server/options.h"

namespace ft::server {

// Reads a message a line from `in` until its end or /exit; writes replies as they stream, with the reasoning folded,
// then one line on speculation. `terminal`: colours, and the time while the model thinks; Ctrl-C stops a reply.
// The process's exit code: 0, or 2 when the server cannot be used.
int run_chat(const ChatOptions& options, LineInput& in, std::ostream& out, bool terminal);

}  // namespace ft::server
