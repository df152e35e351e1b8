#include "support/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "support/error.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_system_error(const fs::path& path, int error) {
  throw UserError(path.string() + ": " + std::generic_category().message(error));
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

// Returns 0, or the error's number.
int write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

// File systems without fsync answer EINVAL; the data is as safe there as it gets.
int flush(int descriptor) { return ::fsync(descriptor) == 0 || errno == EINVAL ? 0 : errno; }

// A rename survives a power cut only when its folder is flushed too. Not every file system allows
// it, and the file is whole either way.
void flush_folder(const fs::path& folder) {
  const Descriptor opened(
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.get() >= 0) ::fsync(opened.get());
}

}  // namespace

std::string read_file(const fs::path& path, std::uint64_t max_bytes) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) throw_system_error(path, errno);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw_system_error(path, errno);
  if (S_ISDIR(status.st_mode)) throw UserError(path.string() + ": is a folder, not a file");
  const auto too_large = [&] {
    return UserError(path.string() + ": is larger than " + std::to_string(max_bytes) + " bytes");
  };
  // The size is a hint: pipes and /proc have none, and a file may grow while it is read.
  const std::uint64_t expected =
      S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : 0;
  if (expected > max_bytes) throw too_large();

  std::string bytes;
  std::size_t used = 0;
  constexpr std::size_t kLeastRoom = 4096;
  bytes.resize(static_cast<std::size_t>(expected) +
               1);  // one more, so that the end is met without growing
  for (;;) {
    if (used == bytes.size()) bytes.resize(std::max(bytes.size() * 2, kLeastRoom));
    const ssize_t count = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (count < 0) {
      if (errno == EINTR) continue;
      throw_system_error(path, errno);
    }
    if (count == 0) break;
    used += static_cast<std::size_t>(count);
    if (used > max_bytes) throw too_large();
  }
  bytes.resize(used);
  return bytes;
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)), target_(path_) {
  std::error_code error;
  const fs::file_status status = fs::status(path_, error);
  if (fs::is_directory(status)) throw UserError(path_.string() + ": is a folder, not a file");
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail(errno);
    return;
  }
  if (fs::exists(status)) {
    target_ = fs::canonical(path_, error);
    if (error) fail(error.value());
  }
  static std::atomic<unsigned> counter{0};
  do {  // a process that was killed may have left a temporary under the same number
    std::string name(1, '.');
    name += target_.filename().string() + "." + std::to_string(::getpid()) + "-" +
            std::to_string(counter++) + ".tmp";
    temporary_ = target_.parent_path() / name;
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail(errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(int error) const { throw_system_error(path_, error); }

void AtomicFile::write(std::string_view bytes) {
  if (const int error = write_all(descriptor_, bytes)) fail(error);
}

void AtomicFile::commit() {
  if (!temporary_.empty()) {
    if (const int error = flush(descriptor_)) fail(error);
  }
  // Network file systems may report a failed write only here.
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) fail(errno);
  if (!temporary_.empty()) {
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
    temporary_.clear();
    flush_folder(target_.parent_path());
  }
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_new_file(const fs::path& path, std::string_view bytes) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file.get() < 0) throw_system_error(path, errno);
  int error = write_all(file.get(), bytes);
  if (::close(file.release()) != 0 && error == 0 && errno != EINTR) error = errno;
  if (error != 0) {
    ::unlink(path.c_str());
    throw_system_error(path, error);
  }
}

void create_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw_system_error(path, error.value());
  if (!fs::is_directory(path, error)) throw UserError(path.string() + ": is a file, not a folder");
}

}  // namespace osc::program
