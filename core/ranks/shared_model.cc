#include "core/ranks/shared_model.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <exception>
#include <map>
#include <new>
#include <optional>

#include "core/process_memory.h"
#include "core/ranks/digest.h"
#include "core/ranks/mirror_backend.h"
#include "core/ranks/op_player.h"

namespace ft::ranks {

namespace {

// What a rank says before all go on together: that it is ready, or why it is not.
struct Outcome {
  uint8_t ready = 0;
  uint8_t has_draft = 0;
  int32_t error = 0;                // an ErrorCode
  std::array<char, 128> backend{};  // its kind
  Fingerprint fingerprint;
  int64_t program = 0;  // memory of the process before
  int64_t weight_bytes = 0;
  int64_t memory = 0;             // what allocations of this rank may take
  std::array<char, 1024> text{};  // the problem, or why this backend, or what limits the memory
};

template <size_t size>
void set_text(const std::string& text, std::array<char, size>& to) {
  to.fill(0);
  std::memcpy(to.data(), text.data(), std::min(text.size(), size - 1));
}

// The fields of a request, each ended by a zero byte.
std::vector<uint8_t> packed(const ModelRequest& request) {
  std::vector<uint8_t> bytes;
  for (const std::string& field : {request.path, request.backend, request.mode, request.cpu_target,
                                   std::to_string(request.threads), request.prefill_gemm}) {
    bytes.insert(bytes.end(), field.begin(), field.end());
    bytes.push_back(0);
  }
  return bytes;
}

ModelRequest unpacked(std::span<const uint8_t> bytes) {
  ModelRequest request;
  const auto* at = reinterpret_cast<const char*>(bytes.data());
  const char* end = at + bytes.size();
  std::string threads;
  for (std::string* field : {&request.path, &request.backend, &request.mode, &request.cpu_target, &threads,
                             &request.prefill_gemm}) {
    const auto* zero = static_cast<const char*>(std::memchr(at, 0, static_cast<size_t>(end - at)));
    if (zero == nullptr) throw RankError("rank 0 asked for a model in words that this rank does not know");
    field->assign(at, zero);
    at = zero + 1;
  }
  request.threads = std::stoi(threads);
  return request;
}

// What one rank has made of a request.
struct OwnPart {
  BackendOffer offer;
  CheckpointFiles files;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Checkpoint> checkpoint;
  Outcome outcome;
};

// The memory of a host is shared by the ranks there; a device belongs to one.
MemoryLimit own_share(const Ranks& ranks, const Backend& backend) {
  MemoryLimit limit = backend.memory_limit();
  if (backend.name() == "cuda" || ranks.local_size() == 1) return limit;
  limit.bytes /= ranks.local_size();
  limit.what += fmt::format(" shared by {} ranks", ranks.local_size());
  return limit;
}

// Whatever can be known before the weights are read, without the other ranks.
Result<void> prepare(OwnPart& part, const Ranks& ranks, const ModelRequest& request,
                     const OfferBackend& offer_backend) {
  part.outcome.program = process_memory();
  auto offer = offer_backend(request, ranks);
  if (!offer) return tl::make_unexpected(offer.error());
  part.offer = std::move(*offer);
  auto files = CheckpointFiles::open(request.path);
  if (!files) return tl::make_unexpected(files.error());
  part.files = std::move(*files);
  part.outcome.fingerprint = fingerprint(part.files);
  set_text(part.offer.kind, part.outcome.backend);
  set_text(part.offer.because, part.outcome.text);
  return {};
}

Result<std::unique_ptr<Backend>> make_together(Ranks& ranks, const BackendOffer& offer) {
  try {
    return offer.make();
  } catch (const RankError&) {
    throw;
  } catch (const std::exception& error) {
    // The others may wait for this rank in an exchange.
    ranks.alarm().raise_and_throw(
        fmt::format("{} failed while it made its backend: {}", ranks.name(ranks.rank()), error.what()));
  }
}

Result<void> load_weights(OwnPart& part, Ranks& ranks, const LoadProgress& progress) {
  auto backend = make_together(ranks, part.offer);
  if (!backend) return tl::make_unexpected(backend.error());
  part.backend = std::move(*backend);
  auto checkpoint = Checkpoint::load(std::move(part.files), *part.backend, progress);
  if (!checkpoint) return tl::make_unexpected(checkpoint.error());
  part.checkpoint = std::move(*checkpoint);
  const ModelWeights& weights = part.checkpoint->weights();
  const MemoryLimit limit = own_share(ranks, *part.backend);
  part.outcome.has_draft = !weights.mtp.empty() || weights.dspark != nullptr;
  part.outcome.weight_bytes = part.checkpoint->weight_bytes();
  part.outcome.memory = limit.bytes;
  set_text(limit.what, part.outcome.text);
  return {};
}

// Takes a step and says in `outcome` how it went. Throws RankError alone: the others wait for the outcome.
template <class Step>
void attempt(Outcome& outcome, const Step& step) {
  const auto failed = [&](ErrorCode code, const std::string& why) {
    outcome.ready = 0;
    outcome.error = static_cast<int32_t>(code);
    set_text(why, outcome.text);
  };
  outcome.ready = 1;
  try {
    const Result<void> done = step();
    if (!done) failed(done.error().code, done.error().message);
  } catch (const RankError&) {
    throw;
  } catch (const std::bad_alloc&) {
    failed(ErrorCode::kTooLarge, "out of memory while loading the weights");
  } catch (const std::exception& error) {
    failed(ErrorCode::kUnavailable, error.what());
  }
}

std::string why_text(const Outcome& outcome) {
  const std::string why = outcome.text.data();
  return why.empty() ? "" : fmt::format(" ({})", why);
}

// Why the ranks cannot go on: the same on every rank.
std::optional<Error> problem_of(const Ranks& ranks, const std::vector<Outcome>& all,
                                const std::string& path) {
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const Outcome& one = all[static_cast<size_t>(rank)];
    if (one.ready == 0)
      return Error{static_cast<ErrorCode>(one.error),
                   fmt::format("{} cannot load its part: {}", ranks.name(rank), one.text.data())};
  }
  for (int rank = 1; rank < ranks.size(); ++rank) {
    const Outcome& one = all[static_cast<size_t>(rank)];
    if (one.fingerprint != all[0].fingerprint)
      return Error{ErrorCode::kInvalidFile,
                   fmt::format("{} has another checkpoint at {} than rank 0: {} differ", ranks.name(rank),
                               path, one.fingerprint.difference(all[0].fingerprint))};
    if (one.backend != all[0].backend)
      return Error{ErrorCode::kUnavailable,
                   fmt::format("{} would compute on the backend {}{}, rank 0 on {}{}: name one for all ranks",
                               ranks.name(rank), one.backend.data(), why_text(one), all[0].backend.data(),
                               why_text(all[0]))};
    if (one.has_draft != all[0].has_draft)
      return Error{ErrorCode::kInvalidFile,
                   fmt::format("{} and rank 0 do not agree on whether the draft of {} can "
                               "be used",
                               ranks.name(rank), path)};
  }
  return std::nullopt;
}

std::vector<Outcome> exchange(Ranks& ranks, const Outcome& own) {
  std::vector<Outcome> all(static_cast<size_t>(ranks.size()));
  ranks.comm().all_gather(&own, all.data(), sizeof(own));
  return all;
}

// The part of this rank, once all have theirs; `all` says what they have. An error is the same on every rank.
Result<OwnPart> load_part(Ranks& ranks, const ModelRequest& request, const OfferBackend& offer_backend,
                          const LoadProgress& progress, std::vector<Outcome>& all) {
  OwnPart part;
  attempt(part.outcome, [&] { return prepare(part, ranks, request, offer_backend); });
  all = exchange(ranks, part.outcome);
  if (auto problem = problem_of(ranks, all, request.path)) return tl::make_unexpected(std::move(*problem));
  attempt(part.outcome, [&] { return load_weights(part, ranks, progress); });
  all = exchange(ranks, part.outcome);
  if (auto problem = problem_of(ranks, all, request.path)) return tl::make_unexpected(std::move(*problem));
  return part;
}

// A model on a follower.
struct FollowedModel {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<WeightCatalog> catalog;
  std::unique_ptr<OpPlayer> player;
};

std::optional<FollowedModel> open_as_follower(Ranks& ranks, const Message& message,
                                              const OfferBackend& offer_backend) {
  std::vector<Outcome> all;
  auto part = load_part(ranks, unpacked(message.bytes), offer_backend, {}, all);
  if (!part) return std::nullopt;
  FollowedModel model;
  model.backend = std::move(part->backend);
  model.checkpoint = std::move(part->checkpoint);
  model.catalog = std::make_unique<WeightCatalog>(*model.checkpoint);
  model.player = std::make_unique<OpPlayer>(*model.backend, ranks.comm(), ranks.patience());
  model.player->bind(*model.catalog);
  return model;
}

}  // namespace

Result<SharedModel> open_shared_model(Ranks& ranks, const ModelRequest& request,
                                      const OfferBackend& offer_backend, const LoadProgress& progress) {
  if (ranks.size() == 1) {
    SharedModel model;
    const int64_t program = process_memory();
    const auto offer = offer_backend(request, ranks);
    if (!offer) return tl::make_unexpected(offer.error());
    auto backend = offer->make();
    if (!backend) return tl::make_unexpected(backend.error());
    model.backend = std::move(*backend);
    auto checkpoint = Checkpoint::load(request.path, *model.backend, progress);
    if (!checkpoint) return tl::make_unexpected(checkpoint.error());
    model.checkpoint = std::move(*checkpoint);
    model.parts = {{ranks.name(0), model.checkpoint->weight_bytes(), program}};
    return model;
  }
  // Held while everybody loads: no other model's ops come between.
  std::unique_lock lock(ranks.mutex());
  const uint32_t session = ranks.new_session();
  ranks.channel().send(MessageKind::kOpen, session, packed(request));
  std::vector<Outcome> all;
  auto part = load_part(ranks, request, offer_backend, progress, all);
  if (!part) return tl::make_unexpected(part.error());
  lock.unlock();
  SharedModel model;
  MemoryLimit least{INT64_MAX, ""};
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const Outcome& one = all[static_cast<size_t>(rank)];
    model.parts.push_back({ranks.name(rank), one.weight_bytes, one.program});
    if (one.memory < least.bytes)
      least = {one.memory, fmt::format("{} of {}", one.text.data(), ranks.name(rank))};
  }
  auto mirror = std::make_unique<MirrorBackend>(ranks, session, std::move(part->backend));
  mirror->bind(*part->checkpoint, std::move(least));
  model.backend = std::move(mirror);
  model.checkpoint = std::move(part->checkpoint);
  return model;
}

int follow(Ranks& ranks, const OfferBackend& offer_backend) {
  std::map<uint32_t, FollowedModel> models;
  for (;;) {
    const Message message = ranks.channel().receive();
    try {
      switch (message.kind) {
        case MessageKind::kOpen:
          if (auto model = open_as_follower(ranks, message, offer_backend))
            models.emplace(message.session, std::move(*model));
          break;
        case MessageKind::kOps: {
          const Computing computing(ranks.patience());
          models.at(message.session).player->play(message.bytes);
          break;
        }
        case MessageKind::kClose:
          models.erase(message.session);
          break;
        case MessageKind::kEnd:
          return static_cast<int>(message.session);
      }
    } catch (const RankError& error) {
      ranks.alarm().raise_and_throw(fmt::format("{}: {}", ranks.name(ranks.rank()), error.what()));
    } catch (const std::exception& error) {
      ranks.alarm().raise_and_throw(
          fmt::format("{} failed in an op: {}", ranks.name(ranks.rank()), error.what()));
    }
  }
}

}  // namespace ft::ranks
