#include "core/ranks/channel.h"

#include <algorithm>
#include <cstring>

namespace ft::ranks {

Channel::Channel(Comm& comm) : comm_(comm), first_(kFirstBytes) {}

void Channel::send(MessageKind kind, uint32_t session, std::span<const uint8_t> bytes) {
  const Head head{kind, session, bytes.size()};
  const size_t first = std::min(bytes.size(), kFirstBytes - sizeof(head));
  std::memcpy(first_.data(), &head, sizeof(head));
  std::copy_n(bytes.data(), first, first_.data() + sizeof(head));
  comm_.broadcast(first_.data(), kFirstBytes);
  if (first == bytes.size()) return;
  // broadcast() only reads on rank 0.
  comm_.broadcast(const_cast<uint8_t*>(bytes.data()) + first, bytes.size() - first);
}

Message Channel::receive() {
  Head head;
  comm_.broadcast(first_.data(), kFirstBytes);
  std::memcpy(&head, first_.data(), sizeof(head));
  const size_t first = std::min(static_cast<size_t>(head.bytes), kFirstBytes - sizeof(head));
  bytes_.resize(head.bytes);
  std::copy_n(first_.data() + sizeof(head), first, bytes_.data());
  if (first < bytes_.size()) comm_.broadcast(bytes_.data() + first, bytes_.size() - first);
  return {head.kind, head.session, bytes_};
}

}  // namespace ft::ranks
