#include "core/ranks/socket_comm.h"

#include <fmt/format.h>

#include <cstring>
#include <thread>

namespace ft::ranks {

namespace {

constexpr uint64_t kGreeting = 0x666f7265746f6b01;  // and its last byte the version of the protocol
// A lost connection is seen here and by the watch, which knows whose it was and tells more.
constexpr std::chrono::milliseconds kLetWatchSpeak{1500};

struct Hello {
  uint64_t greeting = kGreeting;
  int32_t rank = 0;
  int32_t size = 0;
};

}  // namespace

SocketComm::SocketComm(int rank, int size, const Patience& patience)
    : rank_(rank), size_(size), patience_(patience), peers_(static_cast<size_t>(size)) {}

Result<std::unique_ptr<Comm>> SocketComm::meet(int rank, int size, const Meeting& meeting,
                                               const Patience& patience) {
  std::unique_ptr<SocketComm> comm(new SocketComm(rank, size, patience));
  const Pause pause = [&patience] { patience.alarm().check(); };
  const std::chrono::milliseconds limit = kMeetWithin;
  if (rank != 0) {
    auto connected = connect_to(meeting.host, meeting.port, limit, pause);
    if (!connected)
      return fail(ErrorCode::kUnavailable, "rank {} did not find rank 0: {}", rank,
                  connected.error().message);
    const Hello hello{kGreeting, rank, size};
    Hello answer;
    if (!send_all(*connected, &hello, sizeof(hello), pause) ||
        !receive_all(*connected, &answer, sizeof(answer), pause))
      return fail(ErrorCode::kUnavailable, "rank 0 at {}:{} refused rank {} of {}", meeting.host,
                  meeting.port, rank, size);
    comm->peers_[0] = std::move(*connected);
    return comm;
  }
  auto listener = listen_on(meeting.port, false);
  if (!listener) return tl::make_unexpected(listener.error());
  const auto end = std::chrono::steady_clock::now() + limit;
  for (int missing = size - 1; missing > 0;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    auto accepted = accept_from(*listener, left, pause);
    if (!accepted) {
      std::string names;
      for (int r = 1; r < size; ++r)
        if (!comm->peers_[static_cast<size_t>(r)]) names += fmt::format("{}{}", names.empty() ? "" : ", ", r);
      return fail(ErrorCode::kUnavailable, "of {} ranks {} did not come to port {} within {} s", size, names,
                  meeting.port, kMeetWithin.count());
    }
    Hello hello;
    if (!receive_greeting(*accepted, &hello, sizeof(hello), pause)) continue;
    if (hello.greeting != kGreeting) continue;
    if (hello.size != size || hello.rank < 1 || hello.rank >= size)
      return fail(ErrorCode::kUnavailable,
                  "a process says that it is rank {} of {}; rank 0 was started as one of {}", hello.rank,
                  hello.size, size);
    Socket& place = comm->peers_[static_cast<size_t>(hello.rank)];
    if (place) return fail(ErrorCode::kUnavailable, "two processes say that they are rank {}", hello.rank);
    place = std::move(*accepted);
    --missing;
  }
  const Hello welcome{kGreeting, 0, size};
  for (int r = 1; r < size; ++r)
    if (!send_all(comm->peers_[static_cast<size_t>(r)], &welcome, sizeof(welcome), pause))
      return fail(ErrorCode::kUnavailable, "rank {} went away at the start", r);
  return comm;
}

void SocketComm::lost(int peer) {
  const auto end = std::chrono::steady_clock::now() + kLetWatchSpeak;
  while (!patience_.alarm().raised() && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  patience_.alarm().raise_and_throw(fmt::format("rank {} closed its connection", peer));
}

void SocketComm::send(int peer, const void* data, size_t bytes) {
  Waiting waiting(patience_, "an exchange");
  if (!send_all(peers_[static_cast<size_t>(peer)], data, bytes, [&] { waiting.look(); })) lost(peer);
}

void SocketComm::receive(int peer, void* data, size_t bytes) {
  Waiting waiting(patience_, "an exchange");
  if (!receive_all(peers_[static_cast<size_t>(peer)], data, bytes, [&] { waiting.look(); })) lost(peer);
}

void SocketComm::all_gather(const void* own, void* all, size_t bytes_each) {
  patience_.alarm().check();
  auto* to = static_cast<char*>(all);
  char* place = to + static_cast<size_t>(rank_) * bytes_each;
  if (place != own) std::memcpy(place, own, bytes_each);
  if (rank_ != 0) {
    send(0, place, bytes_each);
    receive(0, all, bytes_each * static_cast<size_t>(size_));
    return;
  }
  for (int r = 1; r < size_; ++r) receive(r, to + static_cast<size_t>(r) * bytes_each, bytes_each);
  for (int r = 1; r < size_; ++r) send(r, all, bytes_each * static_cast<size_t>(size_));
}

void SocketComm::broadcast(void* data, size_t bytes) {
  patience_.alarm().check();
  if (rank_ != 0) return receive(0, data, bytes);
  for (int r = 1; r < size_; ++r) send(r, data, bytes);
}

}  // namespace ft::ranks
