#include "training/run_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "support/error.hpp"
#include "support/files.hpp"
#include "support/json.hpp"

namespace osc::program {

namespace fs = std::filesystem;

RunLock::RunLock(const RunFolder& run) : file_(::open(run.config().c_str(), O_RDONLY | O_CLOEXEC)) {
  if (file_ < 0)
    throw UserError(run.config().string() + " cannot be read: " + std::strerror(errno));
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  ::close(file_);
  throw UserError("another process is training in " + run.path.string());
}

RunLock::~RunLock() { ::close(file_); }

void create_run(const RunFolder& run, const RunConfig& config, bool overwrite) {
  const fs::path& path = run.path;
  std::error_code error;
  if (fs::exists(path, error) && !(fs::is_directory(path, error) && fs::is_empty(path, error))) {
    if (!fs::is_regular_file(run.config(), error))
      throw UserError(path.string() + " exists and holds no run; wanted a new folder");
    if (!overwrite)
      throw UserError(path.string() + " holds a run; give another --out, --resume " +
                      path.string() + ", or --overwrite");
    const RunLock lock(run);
    remove_abandoned_temporaries(run);
    // The configuration goes last: until then the folder is a run, which --overwrite can replace.
    for (const fs::path& file :
         {run.report(), run.result(), run.metrics(), run.checkpoint(), run.config()}) {
      fs::remove(file, error);
      if (error) throw UserError(file.string() + " cannot be removed: " + error.message());
    }
  }
  create_folder(path);
  write_file_atomically(run.config(), to_toml(config));
}

RunFolder open_run(const fs::path& path) {
  const RunFolder run{path};
  std::error_code error;
  if (!fs::is_directory(path, error))
    throw UserError(path.string() + " is not a folder; wanted a run made by osc train");
  if (!fs::exists(run.config(), error))
    throw UserError(path.string() + " holds no run: config.toml is missing");
  return run;
}

void remove_abandoned_temporaries(const RunFolder& run) {
  for (const fs::path& file : run.files()) remove_abandoned_temporaries(file);
}

RunConfig read_config(const RunFolder& run) { return make_config(read_toml(run.config())); }

namespace {

bool is_line_of_metrics(const nlohmann::ordered_json& json) {
  return json.is_object() && json.contains("step") && json["step"].is_number_integer() &&
         (!json.contains("seconds") || json["seconds"].is_number());
}

}  // namespace

std::vector<nlohmann::ordered_json> read_metrics(const RunFolder& run) {
  std::vector<nlohmann::ordered_json> lines;
  std::error_code ignored;
  if (!fs::exists(run.metrics(), ignored)) return lines;
  std::istringstream text(read_file(run.metrics()));
  for (std::string line; std::getline(text, line);) {
    with_prefix(run.metrics().string() + ":" + std::to_string(lines.size() + 1) + ": ", [&] {
      auto json = parse_json<nlohmann::ordered_json>(line);
      if (is_line_of_metrics(json)) {
        lines.push_back(std::move(json));
      } else if (!text.eof()) {
        throw UserError("is malformed");
      }
    });
  }
  return lines;
}

MetricsLog::MetricsLog(const RunFolder& run, std::int64_t last_step)
    : name_(run.metrics().string()) {
  std::string kept;
  for (const nlohmann::ordered_json& line : read_metrics(run)) {
    if (line["step"] > last_step) break;
    kept += line.dump() + "\n";
    seconds_before_ = line.value("seconds", seconds_before_);
  }
  write_file_atomically(run.metrics(), kept);
  file_.reset(std::fopen(name_.c_str(), "ab"));
  if (!file_) throw UserError(name_ + " cannot be written: " + std::strerror(errno));
}

void MetricsLog::append(const nlohmann::ordered_json& line) {
  const std::string text = line.dump() + "\n";
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size() ||
      std::fflush(file_.get()) != 0) {
    throw UserError(name_ + " cannot be written: " + std::strerror(errno));
  }
}

}  // namespace osc::program
