// Messages from rank 0 to all others: what to open, what to run, when to end.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/ranks/comm.h"

namespace ft::ranks {

enum class MessageKind : uint32_t {
  kOpen = 1,  // session, a ModelRequest: load that checkpoint
  kOps,       // session, a stream of ops
  kClose,     // session
  kEnd,       // exit code in place of the session
};

struct Message {
  MessageKind kind = MessageKind::kEnd;
  uint32_t session = 0;
  std::span<const uint8_t> bytes;  // valid until the next receive()
};

// One broadcast for a short message and two for a long one, because the length has to be known first.
class Channel {
 public:
  // `comm` moves host memory and outlives the channel.
  explicit Channel(Comm& comm);
  // On rank 0.
  void send(MessageKind kind, uint32_t session, std::span<const uint8_t> bytes);
  // On the others.
  Message receive();

 private:
  struct Head {
    MessageKind kind;
    uint32_t session;
    uint64_t bytes;
  };
  static constexpr size_t kFirstBytes = 32 << 10;  // what the ops of a step of a small model take

  Comm& comm_;
  std::vector<uint8_t> first_;
  std::vector<uint8_t> bytes_;
};

}  // namespace ft::ranks
