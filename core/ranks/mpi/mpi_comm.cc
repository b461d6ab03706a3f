#include "core/ranks/mpi_comm.h"

#include <mpi.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

namespace ft::ranks {

namespace {

// What one call moves: counts are ints.
constexpr size_t kPieceBytes = size_t{1} << 28;

class MpiComm final : public Comm {
 public:
  explicit MpiComm(const Patience& patience) : patience_(patience) {
    MPI_Comm_dup(MPI_COMM_WORLD, &comm_);
    MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void all_gather(const void* own, void* all, size_t bytes_each) override {
    patience_.alarm().check();
    auto* to = static_cast<char*>(all);
    char* place = to + static_cast<size_t>(rank_) * bytes_each;
    if (place != own) std::memcpy(place, own, bytes_each);
    if (bytes_each <= kPieceBytes) {
      MPI_Request request = MPI_REQUEST_NULL;
      const int code = MPI_Iallgather(MPI_IN_PLACE, 0, MPI_BYTE, all, static_cast<int>(bytes_each), MPI_BYTE,
                                      comm_, &request);
      return wait(code, request, "a gather");
    }
    for (int root = 0; root < size_; ++root)
      broadcast_from(root, to + static_cast<size_t>(root) * bytes_each, bytes_each);
  }

  void broadcast(void* data, size_t bytes) override {
    patience_.alarm().check();
    broadcast_from(0, data, bytes);
  }

 private:
  void broadcast_from(int root, void* data, size_t bytes) {
    for (size_t at = 0; at < bytes; at += kPieceBytes) {
      MPI_Request request = MPI_REQUEST_NULL;
      const int code =
          MPI_Ibcast(static_cast<char*>(data) + at, static_cast<int>(std::min(bytes - at, kPieceBytes)),
                     MPI_BYTE, root, comm_, &request);
      wait(code, request, "a broadcast");
    }
  }

  void wait(int code, MPI_Request& request, const char* what) {
    Waiting waiting(patience_, what);
    int done = 0;
    while (code == MPI_SUCCESS) {
      code = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (done != 0) return;
      if (code == MPI_SUCCESS) waiting.turn();
    }
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    MPI_Error_string(code, text.data(), &length);
    patience_.alarm().raise_and_throw(std::string(what) + " failed: " + text.data());
  }

  const Patience& patience_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace

Result<std::unique_ptr<Comm>> make_mpi_comm(const Patience& patience) {
  int provided = MPI_THREAD_SINGLE;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS)
    return fail(ErrorCode::kUnavailable, "MPI could not start");
  if (provided < MPI_THREAD_SERIALIZED)
    return fail(ErrorCode::kUnavailable,
                "this MPI library cannot be called from changing threads, which the engine does");
  return std::make_unique<MpiComm>(patience);
}

void finish_mpi() {
  int started = 0;
  MPI_Initialized(&started);
  if (started != 0) MPI_Finalize();
}

}  // namespace ft::ranks
