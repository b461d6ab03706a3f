#include "tests/abuse/process.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace ft::abuse {
namespace {

std::string proc_file(pid_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

// What stands behind `key` in the process's status file, "" where it has none.
std::string status_field(pid_t pid, std::string_view key) {
  std::ifstream status(proc_file(pid, "status"));
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key)) return line.substr(line.find_first_not_of(" \t", key.size()));
  return "";
}

int64_t kibibytes_field(pid_t pid, std::string_view key) {
  const std::string value = status_field(pid, key);
  return value.empty() ? 0 : std::stoll(value) * 1024;
}

}  // namespace

bool Process::alive() const {
  const std::string state = status_field(pid_, "State:");
  return !state.empty() && state[0] != 'Z' && state[0] != 'X';
}

Memory Process::memory() const {
  return {kibibytes_field(pid_, "VmRSS:"), kibibytes_field(pid_, "VmHWM:")};
}

int64_t Process::address_space() const {
  return kibibytes_field(pid_, "VmSize:");
}

void Process::reset_peak() const {
  std::ofstream(proc_file(pid_, "clear_refs")) << "5";
}

int Process::descriptors() const {
  std::error_code error;
  int count = 0;
  for (std::filesystem::directory_iterator entry(proc_file(pid_, "fd"), error), end; !error && entry != end;
       entry.increment(error))
    ++count;
  return count;
}

}  // namespace ft::abuse
