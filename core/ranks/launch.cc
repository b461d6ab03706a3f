#include "core/ranks/launch.h"

#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <system_error>

namespace ft::ranks {

namespace {

constexpr uint16_t kDefaultPort = 29500;  // of torchrun

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

Result<int> number(const char* name, int low, int high) {
  const std::string_view text = variable(name);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high)
    return fail(ErrorCode::kInvalidArgument, "the launcher's variable {} is \"{}\", expected {} to {}", name,
                text, low, high);
  return value;
}

// The first of these variables that is set; "" where none is.
const char* first_set(std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (!variable(name).empty()) return name;
  return "";
}

constexpr int kMostProcesses = 1 << 20;

}  // namespace

Result<Launch> find_launch() {
  Launch launch;
  if (*first_set({"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) != 0) {
    launch.way = Launch::Way::kMpi;
    const char* name = first_set({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"});
    if (*name == 0) return launch;
    const Result<int> size = number(name, 1, kMostProcesses);
    if (!size) return tl::make_unexpected(size.error());
    launch.size = *size;
    return launch;
  }
  if (variable("WORLD_SIZE").empty() || variable("RANK").empty()) {
    const std::string_view tasks = variable("SLURM_STEP_NUM_TASKS");
    if (tasks.empty() || tasks == "1" || !variable("WORLD_SIZE").empty()) return launch;
    return fail(
        ErrorCode::kInvalidArgument,
        "srun has started {} tasks, which cannot find each other: start them with `srun --mpi=pmix`, or set "
        "RANK, WORLD_SIZE and MASTER_ADDR; WORLD_SIZE=1 is for tasks that are to be alone",
        tasks);
  }
  const Result<int> size = number("WORLD_SIZE", 1, kMostProcesses);
  if (!size) return tl::make_unexpected(size.error());
  if (*size == 1) return launch;
  if (!is_rank_count(*size))
    return fail(ErrorCode::kInvalidArgument, "WORLD_SIZE is {}: a model is shared by 1, 2, 4 or 8 ranks",
                *size);
  const Result<int> rank = number("RANK", 0, *size - 1);
  if (!rank) return tl::make_unexpected(rank.error());
  launch.way = Launch::Way::kSockets;
  launch.rank = *rank;
  launch.size = *size;
  launch.host = variable("MASTER_ADDR");
  if (launch.host.empty())
    return fail(ErrorCode::kInvalidArgument,
                "WORLD_SIZE is {}, but MASTER_ADDR does not name the host of rank 0", *size);
  launch.port = kDefaultPort;
  if (!variable("MASTER_PORT").empty()) {
    const Result<int> port = number("MASTER_PORT", 1, 65534);
    if (!port) return tl::make_unexpected(port.error());
    launch.port = static_cast<uint16_t>(*port);
  }
  // torchrun keeps a store of its own on that port.
  if (variable("TORCHELASTIC_USE_AGENT_STORE") == "True") ++launch.port;
  return launch;
}

}  // namespace ft::ranks
