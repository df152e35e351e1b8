#include "support/outputs.hpp"

#include <sys/stat.h>

#include <compare>
#include <map>
#include <optional>
#include <system_error>

#include "support/error.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;

// Which file a path leads to; of one that is not there yet, which file it will be.
struct Identity {
  dev_t device = 0;
  ino_t number = 0;  // of the file, or of the folder that it will be in
  std::string name;  // in that folder, or the whole path where there is no folder yet
  auto operator<=>(const Identity&) const = default;
};

// Nothing for what is no regular file.
std::optional<Identity> identity_of(const fs::path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    if (!S_ISREG(status.st_mode)) return std::nullopt;
    return Identity{status.st_dev, status.st_ino, {}};
  }
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (::stat(folder.c_str(), &status) == 0)
    return Identity{status.st_dev, status.st_ino, path.filename().string()};
  std::error_code ignored;
  return Identity{0, 0, fs::absolute(path, ignored).lexically_normal().string()};
}

}  // namespace

void check_outputs(const std::vector<Output>& outputs, const std::vector<fs::path>& inputs) {
  std::map<Identity, const Output*> written;
  for (const Output& output : outputs) {
    const std::optional<Identity> identity = identity_of(output.path);
    if (!identity) continue;
    const auto [first, is_new] = written.emplace(*identity, &output);
    if (!is_new)
      throw UserError(first->second->what + " and " + output.what +
                      " would be written to one file, " + output.path.string());
  }
  for (const fs::path& input : inputs) {
    const std::optional<Identity> identity = identity_of(input);
    if (!identity) continue;
    if (const auto found = written.find(*identity); found != written.end())
      throw UserError(found->second->what + " would overwrite " + input.string() +
                      ", which is read");
  }
}

}  // namespace osc::program
