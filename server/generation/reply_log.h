// The line that the log gets for every reply.
#pragma once

#include <string>

#include "server/generation/reply.h"

namespace ft::server {

// "REQUEST_ID ID OUTCOME" and "name=value" words: tokens, what speculation did (of all choices together), the
// time to the first token (0 where there was none), the mean time between later ones, and the error if there
// was one. Times as the client saw them, in ms.
std::string summary_line(const ReplySummary& summary);

}  // namespace ft::server
