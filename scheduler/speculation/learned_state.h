// What an engine has learned about its machine and its drafter, kept from one start to the next in one small
// file, so that the next start needs no measuring and begins calibrated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "scheduler/speculation/acceptance_model.h"
#include "scheduler/speculation/cost_model.h"

namespace ft::scheduler {

// Everything that costs and acceptance depend on; equal ones may share a file.
struct LearnedKey {
  std::string machine;  // processor or device, backend, threads
  std::string model;    // sizes and numerics
  std::string drafter;
  std::string rule;  // acceptance

  // File name without a folder: a hash of the above.
  std::string file_name() const;
};

// The processor of this machine as the system names it, "" where it does not.
std::string processor_name();

// Reads folder/key into both, or changes nothing. kNotFound where there is no such file, or one of another
// key or version; kInvalidFile for what is broken, too large or no file. Errors name the path.
Result<void> load_learned(const std::string& folder, const LearnedKey& key, CostModel& costs,
                          AcceptanceModel& acceptance);
// Writes the file, whole or not at all, also where several processes do; makes the folder. Errors name the
// path.
Result<void> save_learned(const std::string& folder, const LearnedKey& key, const CostModel& costs,
                          AcceptanceModel& acceptance);

}  // namespace ft::scheduler
