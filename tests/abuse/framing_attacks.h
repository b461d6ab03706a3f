// Requests whose framing is larger, or other, than a server can want: as much of it as is asked for.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tests/abuse/connection.h"

namespace ft::abuse {

// `begin`, then `filler` again and again, then `end`.
struct FramingAttack {
  std::string name;
  std::string begin;
  std::string filler;
  std::string end;
  // Whether it consists of whole requests that may all be answered with 200.
  bool lawful = false;
};

// Every one of them, to endpoints that read their body, and where there is nothing.
std::vector<FramingAttack> framing_attacks(const Server& server);

struct AttackOutcome {
  int status = 0;         // of the first response; 0: there was none
  size_t sent_bytes = 0;  // of filler, until the server took no more
};

// Sends `bytes` bytes of filler in all, for as long as the server takes them, and reads what it answers
// meanwhile. Ends after `limit` at the latest.
net::awaitable<AttackOutcome> attack(Connection& connection, const FramingAttack& attack, size_t bytes,
                                     Time limit);

// Smaller texts that are refused or taken, but whose meaning must not be in doubt: unknown and repeated
// Transfer-Encodings, both lengths, folded lines, other protocols.
const std::vector<std::string>& doubtful_requests();

}  // namespace ft::abuse
