// The folder of a run, and the files in it.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "training/config.hpp"

namespace osc::program {

struct RunFolder {
  std::filesystem::path path;

  std::filesystem::path config() const { return path / "config.toml"; }
  std::filesystem::path metrics() const { return path / "metrics.jsonl"; }
  std::filesystem::path checkpoint() const { return path / "checkpoint"; }
  std::filesystem::path result() const { return path / "result.json"; }
  std::filesystem::path report() const { return path / "report.html"; }
  std::vector<std::filesystem::path> files() const {
    return {config(), metrics(), checkpoint(), result(), report()};
  }
};

// Makes a new run's folder, with its configuration in it. A folder that exists and is not empty is
// refused; with `overwrite`, the files of the run that it holds are removed first, and a folder
// that holds no run is refused all the same.
void create_run(const RunFolder& run, const RunConfig& config, bool overwrite);

// A lock that excludes a second training in the same folder. The system releases it when the
// process ends.
class RunLock {
 public:
  explicit RunLock(const RunFolder& run);  // throws UserError where another process holds it
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int file_;
};

// A folder that holds a run, and its configuration. Throws UserError naming what is missing or
// wrong.
RunFolder open_run(const std::filesystem::path& path);
RunConfig read_config(const RunFolder& run);

// Removes the temporary files of killed processes. The caller holds the lock.
void remove_abandoned_temporaries(const RunFolder& run);

// The lines of metrics.jsonl; an unfinished last line, which a killed process leaves, is left out.
std::vector<nlohmann::ordered_json> read_metrics(const RunFolder& run);

// Appends a line a step to metrics.jsonl. First removes the lines of steps after `last_step`, that
// of the checkpoint from which the run goes on.
class MetricsLog {
 public:
  MetricsLog(const RunFolder& run, std::int64_t last_step);
  void append(const nlohmann::ordered_json& line);
  double seconds_before() const { return seconds_before_; }  // of training, up to last_step

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string name_;
  double seconds_before_ = 0;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace osc::program
