#include "scheduler/learned_state.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "core/fnv.h"

namespace ft::scheduler {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kVersion = 5;

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

bool load_learned(const std::string& folder, const LearnedKey& key, CostModel& costs,
                  Calibration& calibration, std::string* why) {
  const fs::path path = fs::path(folder) / key.file_name();
  const auto refuse = [&](std::string_view reason) {
    *why = fmt::format("{}: {}", path.string(), reason);
    return false;
  };
  std::ifstream file(path);
  if (!file) return refuse("nothing was kept yet");
  const json saved = json::parse(file, nullptr, false);
  if (!saved.is_object() || saved.value("version", json()) != kVersion ||
      saved.value("key", json()) != key_json(key))
    return refuse("not written by this version for this machine and model");
  const auto verify = read_points(saved.value("verify", json()));
  const auto draft = read_points(saved.value("draft", json()));
  const json price = saved.value("seconds_per_expert", json());
  const json row_price = saved.value("seconds_per_catch_up_row", json());
  const json numbers = saved.value("calibration", json());
  if (!verify || !draft || !price.is_number() || !row_price.is_number() || !numbers.is_array() ||
      !std::all_of(numbers.begin(), numbers.end(), [](const json& number) { return number.is_number(); }) ||
      !calibration.restore(numbers.get<std::vector<double>>()))
    return refuse("broken");
  costs.restore(*verify, *draft, price.get<double>(), row_price.get<double>());
  return true;
}

Result<void> save_learned(const std::string& folder, const LearnedKey& key, const CostModel& costs,
                          Calibration& calibration) {
  std::error_code error;
  fs::create_directories(folder, error);
  const fs::path path = fs::path(folder) / key.file_name();
  const fs::path partial = path.string() + ".partial";
  const json saved = {{"version", kVersion},
                      {"key", key_json(key)},
                      {"verify", points_json(costs.verify_curve().points())},
                      {"draft", points_json(costs.draft_curve().points())},
                      {"seconds_per_expert", costs.seconds_per_expert()},
                      {"seconds_per_catch_up_row", costs.seconds_per_catch_up_row()},
                      {"calibration", calibration.save()}};
  {
    std::ofstream file(partial, std::ios::trunc);
    file << saved.dump() << '\n';
    if (!file.flush()) return fail(ErrorCode::kNotFound, "{}: cannot be written", partial.string());
  }
  fs::rename(partial, path, error);
  if (error) return fail(ErrorCode::kNotFound, "{}: {}", path.string(), error.message());
  return {};
}

}  // namespace ft::scheduler
