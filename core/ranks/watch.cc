#include "core/ranks/watch.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <random>

namespace ft::ranks {

namespace {

constexpr int kLookMs = 50;
constexpr std::chrono::milliseconds kBeatEvery{500};
constexpr std::chrono::seconds kConnectWithin{20};
constexpr size_t kFrameMax = 4096;

enum class Frame : uint8_t { kBeat = 1, kAlarm, kBye };

// Where followers find the watch of rank 0, and what they say there: the port is open to whoever reaches it.
struct Invitation {
  uint64_t secret = 0;
  uint32_t timeout_ms = 0;
  uint16_t port = 0;
  std::array<char, 256> host{};
  std::array<std::array<char, 16>, 8> addresses{};
};

struct Introduction {
  uint64_t secret = 0;
  int32_t rank = 0;
};

template <size_t size>
void copy_text(const std::string& text, std::array<char, size>& to) {
  std::memcpy(to.data(), text.data(), std::min(text.size(), size - 1));
}

void send_frame(const Socket& socket, Frame frame, std::string_view text = {}) {
  std::array<uint8_t, kFrameMax> bytes{};
  const auto size = static_cast<uint16_t>(std::min(text.size(), kFrameMax - 3));
  bytes[0] = static_cast<uint8_t>(frame);
  std::memcpy(&bytes[1], &size, sizeof(size));
  std::memcpy(&bytes[3], text.data(), size);
  // What does not fit into the buffer of a connection that nobody reads would help nobody.
  (void)send(socket.descriptor(), bytes.data(), size + size_t{3}, MSG_NOSIGNAL | MSG_DONTWAIT);
}

Result<Socket> connect_to_watch(const Invitation& invitation, const Pause& pause) {
  // By name where names are known, and else by each address that rank 0 has.
  std::vector<std::string> hosts;
  const std::string host = invitation.host.data();
  if (host.empty() || host == host_name()) hosts.push_back("127.0.0.1");
  for (const auto& address : invitation.addresses)
    if (address[0] != 0) hosts.emplace_back(address.data());
  if (!host.empty()) hosts.push_back(host);
  Result<Socket> connected = fail(ErrorCode::kUnavailable, "rank 0 named no address");
  for (const std::string& one : hosts) {
    connected = connect_to(one, invitation.port, std::chrono::seconds(2), pause);
    if (connected) return connected;
  }
  return connected;
}

}  // namespace

Watch::Watch(int rank, std::vector<std::string> names, Alarm& alarm, WatchOptions options)
    : rank_(rank), names_(std::move(names)), alarm_(alarm), options_(std::move(options)) {}

Result<std::unique_ptr<Watch>> Watch::start(Comm& comm, std::vector<std::string> names, bool one_host,
                                            Alarm& alarm, WatchOptions options) {
  std::unique_ptr<Watch> watch(new Watch(comm.rank(), std::move(names), alarm, std::move(options)));
  const Pause pause = [&alarm] { alarm.check(); };
  Invitation invitation;
  Listener listener;
  if (comm.rank() == 0) {
    auto listening = listen_on(0, one_host);
    if (!listening) return tl::make_unexpected(listening.error());
    listener = std::move(*listening);
    std::random_device random;
    invitation.secret = uint64_t{random()} << 32 | random();
    invitation.timeout_ms = static_cast<uint32_t>(watch->options_.timeout.count());
    invitation.port = listener.port;
    if (!one_host) {
      copy_text(host_name(), invitation.host);
      const std::vector<std::string> addresses = host_addresses();
      for (size_t i = 0; i < std::min(addresses.size(), invitation.addresses.size()); ++i)
        copy_text(addresses[i], invitation.addresses[i]);
    }
  }
  comm.broadcast(&invitation, sizeof(invitation));
  watch->options_.timeout = std::chrono::milliseconds(invitation.timeout_ms);
  if (comm.rank() != 0) {
    auto connected = connect_to_watch(invitation, pause);
    if (!connected)
      return fail(ErrorCode::kUnavailable, "{} cannot reach the watch of rank 0: {}",
                  watch->names_[static_cast<size_t>(comm.rank())], connected.error().message);
    const Introduction introduction{invitation.secret, comm.rank()};
    send_all(*connected, &introduction, sizeof(introduction), pause);
    watch->peers_.push_back({0, std::move(*connected), {}, Clock::now(), true});
  }
  for (int missing = comm.rank() == 0 ? comm.size() - 1 : 0; missing > 0;) {
    auto accepted = accept_from(listener, kConnectWithin, pause);
    if (!accepted)
      return fail(ErrorCode::kUnavailable, "{} of the ranks did not come to the watch of rank 0: {}", missing,
                  accepted.error().message);
    Introduction introduction;
    if (!receive_greeting(*accepted, &introduction, sizeof(introduction), pause)) continue;
    if (introduction.secret != invitation.secret) continue;
    watch->peers_.push_back({introduction.rank, std::move(*accepted), {}, Clock::now(), true});
    --missing;
  }
  watch->thread_ = std::thread([watch = watch.get()] { watch->run(); });
  return watch;
}

Watch::~Watch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
  if (!alarm_.raised())
    for (const Peer& peer : peers_) send_frame(peer.socket, Frame::kBye);
}

void Watch::wait_told(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, limit, [this] { return announced_; });
}

void Watch::run() {
  auto looked = Clock::now();
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    std::vector<pollfd> sockets;
    for (const Peer& peer : peers_)
      if (peer.open) sockets.push_back({peer.socket.descriptor(), POLLIN, 0});
    poll(sockets.data(), sockets.size(), kLookMs);
    const auto now = Clock::now();
    // Where it was this process that slept (stopped and continued, or a host that was suspended), the others have had
    // no chance to be heard.
    if (now - looked > options_.timeout / 2)
      for (Peer& peer : peers_) peer.heard = now;
    looked = now;
    beat();
    for (Peer& peer : peers_) look(peer);
    if (!alarm_.raised()) continue;
    if (!announced_) announce();
    if (now - alarmed_at_ > kEndWithin && options_.on_overdue) {
      options_.on_overdue();
      return;
    }
  }
}

void Watch::announce() {
  alarmed_at_ = Clock::now();
  const std::string message = alarm_.message();
  if (!told_by_peer_ && options_.on_alarm) options_.on_alarm(message);
  for (const Peer& peer : peers_)
    if (peer.open) send_frame(peer.socket, Frame::kAlarm, message);
  const std::lock_guard lock(mutex_);
  announced_ = true;
  changed_.notify_all();
}

void Watch::beat() {
  const auto now = Clock::now();
  if (now - beat_at_ < std::min<Clock::duration>(kBeatEvery, options_.timeout / 4)) return;
  beat_at_ = now;
  for (const Peer& peer : peers_)
    if (peer.open) send_frame(peer.socket, Frame::kBeat);
}

void Watch::look(Peer& peer) {
  if (!peer.open) return;
  read(peer);
  if (!peer.open) return;
  const auto silent = Clock::now() - peer.heard;
  if (silent <= options_.timeout) return;
  peer.open = false;
  alarm_.raise(
      fmt::format("{} has given no sign of life for {:.1f} s: its process is stopped, or its host is gone",
                  names_[static_cast<size_t>(peer.rank)], std::chrono::duration<double>(silent).count()));
}

void Watch::read(Peer& peer) {
  std::array<uint8_t, kFrameMax> bytes;
  for (;;) {
    const ssize_t got = recv(peer.socket.descriptor(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got > 0) {
      peer.heard = Clock::now();
      peer.received.insert(peer.received.end(), bytes.begin(), bytes.begin() + got);
      take_frames(peer);
      continue;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    // Nobody says goodbye who was killed.
    if (peer.open)
      alarm_.raise(
          fmt::format("{} has ended: its connection was closed", names_[static_cast<size_t>(peer.rank)]));
    peer.open = false;
    return;
  }
}

void Watch::take_frames(Peer& peer) {
  size_t at = 0;
  while (peer.received.size() - at >= 3) {
    uint16_t size = 0;
    std::memcpy(&size, &peer.received[at + 1], sizeof(size));
    if (peer.received.size() - at < size_t{3} + size) break;
    const auto frame = static_cast<Frame>(peer.received[at]);
    if (frame == Frame::kBye) peer.open = false;
    if (frame == Frame::kAlarm && !alarm_.raised()) {
      // Rank 0 reports what followers tell it; a follower leaves that to rank 0.
      told_by_peer_ = rank_ != 0;
      alarm_.raise(std::string(peer.received.begin() + static_cast<ptrdiff_t>(at + 3),
                               peer.received.begin() + static_cast<ptrdiff_t>(at + 3 + size)));
    }
    at += size_t{3} + size;
  }
  peer.received.erase(peer.received.begin(), peer.received.begin() + static_cast<ptrdiff_t>(at));
}

}  // namespace ft::ranks
