/* A stand-in for libnvidia-ml.so.1, for tests on machines without an NVIDIA GPU. What steers it is described in
 * __init__.py. It declares what it needs of nvml.h itself, with the values that NVIDIA documents. */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_GPUS 16
#define BOOT_MJ 1000000ull /* what the counter held when the clock read zero */

typedef enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_GPU_IS_LOST = 15,
} nvmlReturn_t;

typedef unsigned long long u64;

typedef struct {
    unsigned index;
    unsigned reads;     /* of the counter */
    u64 origin_mj;      /* subtracted after a reset */
    u64 frozen_mj;      /* where it stopped, 0 while it runs */
} gpu_t;

typedef gpu_t *nvmlDevice_t;

typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} nvmlPciInfo_t;

typedef struct {
    u64 total, free, used;
} nvmlMemory_t;

typedef struct {
    unsigned pid;
    u64 used_gpu_memory;
    unsigned gpu_instance_id, compute_instance_id;
} nvmlProcessInfo_t;

typedef struct {
    u64 reference_time_us, violation_time_ns;
} nvmlViolationTime_t;

typedef union {
    double d;
    unsigned ui;
    u64 ull;
} nvmlValue_t;

typedef struct {
    unsigned field_id, scope_id;
    long long timestamp, latency_us;
    unsigned value_type;
    nvmlReturn_t result;
    nvmlValue_t value;
} nvmlFieldValue_t;

#define NVML_FI_DEV_POWER_INSTANT 186
#define NVML_POWER_SCOPE_GPU 0
#define NVML_VALUE_TYPE_UNSIGNED_INT 1
#define NVML_PERF_POLICY_POWER 0
#define NVML_PERF_POLICY_THERMAL 1
#define NVML_CLOCK_SM 1
#define NVML_CLOCK_MEM 2

static gpu_t gpus[MAX_GPUS];
static int sessions = 0;

static const char *text(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static double number(const char *name, double otherwise) {
    const char *value = getenv(name);
    return value && *value ? strtod(value, NULL) : otherwise;
}

static unsigned gpu_count(void) {
    unsigned count = (unsigned)number("STANDIN_NVML_GPUS", 1);
    return count < MAX_GPUS ? count : MAX_GPUS;
}

static int is_ordered(const char *fault) {
    const char *at = text("STANDIN_NVML_FAULT", "");
    for (size_t size; *at; at += size + (at[size] == ',')) {
        size = strcspn(at, ",");
        if (size == strlen(fault) && strncmp(at, fault, size) == 0) return 1;
    }
    return 0;
}

static int has_fault(nvmlDevice_t gpu, const char *fault) {
    int at = (int)number("STANDIN_NVML_FAULT_GPU", -1);
    return is_ordered(fault) && (at < 0 || at == (int)gpu->index);
}

/* What every query of a GPU checks first. */
static nvmlReturn_t reach(nvmlDevice_t gpu) {
    if (sessions == 0) return NVML_ERROR_UNINITIALIZED;
    if (gpu < gpus || gpu >= gpus + gpu_count()) return NVML_ERROR_INVALID_ARGUMENT;
    return has_fault(gpu, "lost") ? NVML_ERROR_GPU_IS_LOST : NVML_SUCCESS;
}

static nvmlReturn_t reach_side_reading(nvmlDevice_t gpu) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    return has_fault(gpu, "no_side_readings") ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
}

static nvmlReturn_t write_text(char *out, unsigned length, const char *value) {
    if (strlen(value) + 1 > length) return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(out, value);
    return NVML_SUCCESS;
}

static double monotonic_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static unsigned power_mw(void) {
    return (unsigned)(1000.0 * number("STANDIN_NVML_WATTS", 70) * number("STANDIN_NVML_POWER_FACTOR", 1));
}

static u64 energy_mj(void) {
    double time_s = monotonic_s();
    double tick_s = number("STANDIN_NVML_TICK_MS", 20) / 1000.0;
    if (tick_s > 0) time_s = tick_s * (double)(u64)(time_s / tick_s);
    return BOOT_MJ + (u64)(1000.0 * number("STANDIN_NVML_WATTS", 70) * time_s);
}

static void uuid_of(unsigned index, char out[80]) {
    snprintf(out, 80, "GPU-%08u-57a9-4d11-b000-000000000000", index);
}

/* --- the library --- */

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (is_ordered("no_driver")) return NVML_ERROR_DRIVER_NOT_LOADED;
    for (unsigned i = 0; sessions == 0 && i < MAX_GPUS; i++) gpus[i] = (gpu_t){.index = i};
    sessions++;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

nvmlReturn_t nvmlShutdown(void) {
    if (sessions == 0) return NVML_ERROR_UNINITIALIZED;
    sessions--;
    return NVML_SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t result) {
    return result == NVML_SUCCESS ? "Success" : "an error of the stand-in";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length) {
    return sessions ? write_text(version, length, "999.00") : NVML_ERROR_UNINITIALIZED;
}

/* --- finding a GPU --- */

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
    if (sessions == 0) return NVML_ERROR_UNINITIALIZED;
    *count = gpu_count();
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *gpu) {
    if (index >= gpu_count()) return NVML_ERROR_INVALID_ARGUMENT;
    *gpu = &gpus[index];
    return reach(*gpu);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *gpu) {
    char known[80];
    for (unsigned i = 0; i < gpu_count(); i++) {
        uuid_of(i, known);
        if (strcmp(known, uuid) == 0) return nvmlDeviceGetHandleByIndex_v2(i, gpu);
    }
    return NVML_ERROR_NOT_FOUND;
}

/* --- what it is --- */

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t gpu, char *uuid, unsigned length) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    char known[80];
    uuid_of(gpu->index, known);
    return write_text(uuid, length, known);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t gpu, char *name, unsigned length) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    const char *at = text("STANDIN_NVML_NAMES", "Stand-in GPU"), *next;
    for (unsigned i = 0; i < gpu->index && (next = strchr(at, ';')) != NULL; i++) at = next + 1;
    size_t size = strcspn(at, ";");
    if (size + 1 > length) return NVML_ERROR_INSUFFICIENT_SIZE;
    memcpy(name, at, size);
    name[size] = '\0';
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t gpu, nvmlPciInfo_t *pci) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    memset(pci, 0, sizeof *pci);
    pci->bus = gpu->index + 1;
    snprintf(pci->bus_id_legacy, sizeof pci->bus_id_legacy, "0000:%02X:00.0", pci->bus & 0xffu);
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", pci->bus & 0xffu);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t gpu, nvmlMemory_t *memory) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    *memory = (nvmlMemory_t){.total = 8ull << 30, .free = 8ull << 30, .used = 0};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t gpu, unsigned *current, unsigned *pending) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    *current = *pending = has_fault(gpu, "mig") ? 1 : 0;
    return NVML_SUCCESS;
}

static nvmlReturn_t limit(nvmlDevice_t gpu, const char *name, unsigned *limit_mw) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    *limit_mw = (unsigned)(1000.0 * number(name, 100));
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t gpu, unsigned *limit_mw) {
    return limit(gpu, "STANDIN_NVML_LIMIT_W", limit_mw);
}

nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t gpu, unsigned *limit_mw) {
    return limit(gpu, "STANDIN_NVML_DEFAULT_LIMIT_W", limit_mw);
}

/* --- what it does --- */

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t gpu, u64 *counter_mj) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (has_fault(gpu, "no_counter")) return NVML_ERROR_NOT_SUPPORTED;
    u64 now_mj = energy_mj();
    gpu->reads++;
    if (!has_fault(gpu, "frozen")) gpu->frozen_mj = 0;
    else if (gpu->frozen_mj == 0) gpu->frozen_mj = now_mj;
    if (has_fault(gpu, "reset") && gpu->origin_mj == 0 && gpu->reads > number("STANDIN_NVML_RESET_AFTER", 1))
        gpu->origin_mj = now_mj - 1;
    *counter_mj = has_fault(gpu, "zero") ? 0 : (gpu->frozen_mj ? gpu->frozen_mj : now_mj) - gpu->origin_mj;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t gpu, unsigned *out_mw) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (has_fault(gpu, "no_power")) return NVML_ERROR_NOT_SUPPORTED;
    *out_mw = power_mw();
    return NVML_SUCCESS;
}

/* The call succeeds, and each field says for itself whether it is there. */
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t gpu, int count, nvmlFieldValue_t *fields) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    int offered = !has_fault(gpu, "no_instant") && !has_fault(gpu, "no_power");
    for (int i = 0; i < count; i++) {
        nvmlFieldValue_t *field = &fields[i];
        int known = field->field_id == NVML_FI_DEV_POWER_INSTANT && field->scope_id == NVML_POWER_SCOPE_GPU;
        field->result = offered && known ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
        field->value_type = NVML_VALUE_TYPE_UNSIGNED_INT;
        field->value.ull = 0xa5a5a5a500000000ull; /* what is beside a value of 32 bits is anything */
        field->value.ui = power_mw();
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetViolationStatus(nvmlDevice_t gpu, int policy, nvmlViolationTime_t *held) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (policy != NVML_PERF_POLICY_POWER && policy != NVML_PERF_POLICY_THERMAL) return NVML_ERROR_NOT_SUPPORTED;
    int thermal = policy == NVML_PERF_POLICY_THERMAL;
    double share = number(thermal ? "STANDIN_NVML_HELD_THERMAL" : "STANDIN_NVML_HELD_POWER", 0);
    double now_s = monotonic_s();
    *held = (nvmlViolationTime_t){(u64)(1e6 * now_s), (u64)(1e9 * share * now_s)};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t gpu, int clock, unsigned *mhz) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (clock != NVML_CLOCK_SM && clock != NVML_CLOCK_MEM) return NVML_ERROR_INVALID_ARGUMENT;
    *mhz = (unsigned)number(clock == NVML_CLOCK_SM ? "STANDIN_NVML_SM_MHZ" : "STANDIN_NVML_MEMORY_MHZ", 1000);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t gpu, int sensor, unsigned *temperature_c) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (sensor != 0) return NVML_ERROR_INVALID_ARGUMENT;
    *temperature_c = (unsigned)number("STANDIN_NVML_TEMPERATURE_C", 40) + gpu->index;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t gpu, u64 *reasons) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    *reasons = strtoull(text("STANDIN_NVML_EVENT_REASONS", "0"), NULL, 0);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t gpu, unsigned *count, nvmlProcessInfo_t *out) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    unsigned room = *count, found = 0;
    const char *at = text("STANDIN_NVML_PIDS", "");
    while (*at) {
        unsigned pid = strncmp(at, "self", 4) == 0 ? (unsigned)getpid() : (unsigned)strtoul(at, NULL, 10);
        if (found < room) out[found] = (nvmlProcessInfo_t){pid, 1ull << 20, 0xffffffffu, 0xffffffffu};
        found++;
        at += strcspn(at, ",");
        if (*at) at++;
    }
    *count = found;
    return found > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}
