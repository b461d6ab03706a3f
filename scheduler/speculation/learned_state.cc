#include "scheduler/speculation/learned_state.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "core/file.h"
#include "core/fnv.h"

namespace ft::scheduler {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kVersion = 5;
constexpr int64_t kMaxBytes = 4 << 20;  // several times what is written

json points_json(std::span<const CostCurve::Point> points) {
  json list = json::array();
  for (const CostCurve::Point& point : points)
    if (point.weight > 0.0) list.push_back({point.x, point.seconds, point.experts, point.weight});
  return list;
}

// Nothing for anything but a list of such points with sane values.
std::optional<std::vector<CostCurve::Point>> read_points(const json& list) {
  if (!list.is_array()) return std::nullopt;
  std::vector<CostCurve::Point> points;
  for (const json& entry : list) {
    if (!entry.is_array() || entry.size() != 4) return std::nullopt;
    for (const json& number : entry)
      if (!number.is_number() || number.get<double>() < 0.0) return std::nullopt;
    points.push_back({entry[0], entry[1], entry[2], entry[3]});
  }
  return points;
}

std::optional<double> read_seconds(const json& number) {
  if (!number.is_number() || number.get<double>() < 0.0) return std::nullopt;
  return number.get<double>();
}

json key_json(const LearnedKey& key) {
  return {{"machine", key.machine}, {"model", key.model}, {"drafter", key.drafter}, {"rule", key.rule}};
}

}  // namespace

std::string LearnedKey::file_name() const {
  // The file holds the whole key, so a collision is noticed.
  return fmt::format("learned-{:016x}.json", fnv1a(key_json(*this).dump()));
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 1);
  return "";
}

Result<void> load_learned(const std::string& folder, const LearnedKey& key, CostModel& costs,
                          AcceptanceModel& acceptance) {
  const std::string path = (fs::path(folder) / key.file_name()).string();
  const auto text = read_file(path, kMaxBytes);
  if (!text) return tl::make_unexpected(text.error());
  const json saved = json::parse(*text, nullptr, false);
  const auto broken = [&] {
    return fail(ErrorCode::kInvalidFile, "{}: is broken; costs are measured again", path);
  };
  if (!saved.is_object()) return broken();
  if (saved.value("version", json()) != kVersion || saved.value("key", json()) != key_json(key)) {
    return fail(ErrorCode::kNotFound, "{}: not written by this version for this machine and model", path);
  }
  const auto verify = read_points(saved.value("verify", json()));
  const auto draft = read_points(saved.value("draft", json()));
  const auto price = read_seconds(saved.value("seconds_per_expert", json()));
  const auto row_price = read_seconds(saved.value("seconds_per_catch_up_row", json()));
  const json numbers = saved.value("calibration", json());
  if (!verify || !draft || !price || !row_price || !numbers.is_array() ||
      !std::all_of(numbers.begin(), numbers.end(), [](const json& number) { return number.is_number(); }) ||
      !acceptance.restore(numbers.get<std::vector<double>>()))
    return broken();
  costs.restore(*verify, *draft, *price, *row_price);
  return {};
}

Result<void> save_learned(const std::string& folder, const LearnedKey& key, const CostModel& costs,
                          AcceptanceModel& acceptance) {
  std::error_code error;
  fs::create_directories(folder, error);
  const std::string path = (fs::path(folder) / key.file_name()).string();
  const json saved = {{"version", kVersion},
                      {"key", key_json(key)},
                      {"verify", points_json(costs.verify_curve().points())},
                      {"draft", points_json(costs.draft_curve().points())},
                      {"seconds_per_expert", costs.seconds_per_expert()},
                      {"seconds_per_catch_up_row", costs.seconds_per_catch_up_row()},
                      {"calibration", acceptance.save()}};
  return replace_file(path, saved.dump() + '\n');
}

}  // namespace ft::scheduler
