// A tracker's loop: in each frame, which detection belongs to which track, for several cameras at
// once. Memory and threads are reused from frame to frame. Built and run by the tests.
#include <osc/assignment.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  constexpr int kCameras = 2, kTracks = 3, kDetections = 4;
  const double track[kCameras][kTracks] = {{0, 10, 20},
                                           {5, 6, 50}};  // where each was last seen, on a line
  double position[kCameras][kDetections] = {{21, 1, 40, 9}, {7, 100, 49, 4}};

  osc::ThreadPool threads(2);
  osc::Workspace memory;
  std::vector<std::int64_t> detection_of_track(kCameras * kTracks);
  for (int frame = 0; frame < 3; ++frame) {
    std::vector<float> distances;  // [camera, track, detection]; one too far away is forbidden
    for (int camera = 0; camera < kCameras; ++camera) {
      for (const double last_seen : track[camera]) {
        for (const double seen : position[camera]) {
          const double distance = std::abs(seen - last_seen);
          distances.push_back(distance < 30 ? static_cast<float>(distance) : INFINITY);
        }
      }
    }
    osc::linear_sum_assignment(osc::contiguous(distances.data(), {kCameras, kTracks, kDetections}),
                               {.col4row = detection_of_track.data()},
                               {.on_unsolvable = osc::OnUnsolvable::unmatched,
                                .executor = &threads,
                                .workspace = &memory});
    for (int camera = 0; camera < kCameras; ++camera) {
      std::printf("frame %d, camera %d:", frame, camera);
      for (int t = 0; t < kTracks; ++t)
        std::printf("  track %d is detection %d", t,
                    static_cast<int>(detection_of_track[camera * kTracks + t]));
      std::printf("\n");
    }
    for (auto& camera : position) {
      for (double& x : camera) x += 0.5;
    }
  }
  return detection_of_track == std::vector<std::int64_t>{1, 3, 0, 3, 0, 2} ? 0 : 1;
}
