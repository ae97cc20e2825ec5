"""The TIFF and DNG tags that Photosite reads or writes, by the DNG specification's names, and their fixed values.

In the flow: `layout.py` and `dng.py` read a file in these words, `rewrite.py` writes in them.

Source: TIFF 6.0 (Adobe, 1992); TIFF Technical Note 1 (SubIFDs); Exif 2.3; TIFF/EP (ISO 12234-2); DNG specification 1.7.
"""

from __future__ import annotations

# How the picture of a directory is stored.
NEW_SUBFILE_TYPE = 254  # what the picture is for, see MAIN_IMAGE
IMAGE_WIDTH = 256  # columns
IMAGE_LENGTH = 257  # rows
BITS_PER_SAMPLE = 258  # bits of a stored number
COMPRESSION = 259  # see UNCOMPRESSED and the following
PHOTOMETRIC_INTERPRETATION = 262  # what the numbers mean, see COLOR_FILTER_ARRAY
FILL_ORDER = 266  # 1: from the most significant bit on
MAKE = 271  # camera maker
MODEL = 272  # camera model
STRIP_OFFSETS = 273  # where each strip begins
ORIENTATION = 274  # how to turn the picture for viewing; the mosaic is never turned
SAMPLES_PER_PIXEL = 277  # 1 for a mosaic
ROWS_PER_STRIP = 278  # rows of every strip but the last
STRIP_BYTE_COUNTS = 279  # bytes of each strip
PLANAR_CONFIGURATION = 284  # 1: the samples of a pixel lie together
SOFTWARE = 305  # program that wrote the file
DATE_TIME = 306  # when the file was last changed
PREDICTOR = 317  # differencing before compression
TILE_WIDTH = 322  # columns of every tile
TILE_LENGTH = 323  # rows of every tile
TILE_OFFSETS = 324  # where each tile begins, row of tiles by row of tiles
TILE_BYTE_COUNTS = 325  # bytes of each tile
SUB_IFDS = 330  # where this directory's children begin
SAMPLE_FORMAT = 339  # see UNSIGNED_INTEGER
YCBCR_SUBSAMPLING = 530  # columns and rows of luminance for one of colour
YCBCR_POSITIONING = 531  # where colour lies between luminance
REFERENCE_BLACK_WHITE = 532  # range of a picture's numbers

# Metadata.
XMP = 700  # an XMP packet
CFA_REPEAT_PATTERN_DIM = 33421  # rows and columns of the colour pattern
CFA_PATTERN = 33422  # its colours, row by row: 0 red, 1 green, 2 blue
EXPOSURE_TIME = 33434  # seconds, in the Exif directory
F_NUMBER = 33437  # aperture, in the Exif directory
EXIF_IFD = 34665  # where the Exif directory begins
ISO_SPEED_RATINGS = 34855  # ISO speed, in the Exif directory; 65535 where it is larger
RECOMMENDED_EXPOSURE_INDEX = 34866  # ISO speed that may be larger than 65535
DATE_TIME_ORIGINAL = 36867  # when the picture was taken by the camera's clock, in the Exif directory
MAKER_NOTE = 37500  # the camera maker's own data, in the Exif directory

# Sony's corrections of a lens, in the raw directory; darktable reads them there.
SONY_LENS_CORRECTIONS = (0x7031, 0x7032, 0x7034, 0x7035, 0x7036, 0x7037)  # shading, colour fringes, distortion

# DNG.
DNG_VERSION = 50706  # present in IFD0 of every DNG
DNG_BACKWARD_VERSION = 50707  # oldest version whose readers can read the file
UNIQUE_CAMERA_MODEL = 50708  # camera model by which editors choose a profile
CFA_PLANE_COLOR = 50710  # colours of the CFA planes
CFA_LAYOUT = 50711  # 1: rectangular
LINEARIZATION_TABLE = 50712  # stored number → linear number
BLACK_LEVEL_REPEAT_DIM = 50713  # rows and columns of BlackLevel's pattern
BLACK_LEVEL = 50714  # black, repeated from the active area's top-left
BLACK_LEVEL_DELTA_H = 50715  # added to black, per column of the active area
BLACK_LEVEL_DELTA_V = 50716  # added to black, per row of the active area
WHITE_LEVEL = 50717  # number at which a photosite is saturated
DEFAULT_CROP_ORIGIN = 50719  # within the active area
DEFAULT_CROP_SIZE = 50720  # columns and rows to show
COLOR_MATRIX_1 = 50721  # XYZ → camera colours
COLOR_MATRIX_2 = 50722  # the same under another light
CAMERA_CALIBRATION_1 = 50723  # colours of the reference camera → colours of this one
CAMERA_CALIBRATION_2 = 50724  # the same under another light
ANALOG_BALANCE = 50727  # gains already applied to the stored numbers
AS_SHOT_NEUTRAL = 50728  # camera colour of a neutral
AS_SHOT_WHITE_XY = 50729  # chromaticity of the light, where AsShotNeutral is missing
BASELINE_EXPOSURE = 50730  # exposure correction of the default rendering
DNG_PRIVATE_DATA = 50740  # the writing program's own data
CALIBRATION_ILLUMINANT_1 = 50778  # light under which ColorMatrix1 was measured
CALIBRATION_ILLUMINANT_2 = 50779  # the same for ColorMatrix2
RAW_DATA_UNIQUE_ID = 50781  # 16 bytes that change when the mosaic changes
ORIGINAL_RAW_FILE_NAME = 50827  # name of the raw file that a DNG was made of
ACTIVE_AREA = 50829  # top, left, bottom, right of the photosites that saw light
MASKED_AREAS = 50830  # rectangles that saw no light
CAMERA_CALIBRATION_SIGNATURE = 50931  # whose profiles CameraCalibration belongs to
PROFILE_CALIBRATION_SIGNATURE = 50932  # which CameraCalibration the profile belongs to
NOISE_REDUCTION_APPLIED = 50935  # 0 none … 1 as much as is ever wanted; 0/0 unknown
RAW_IMAGE_DIGEST = 50972  # MD5 of the mosaic, old way
SUB_TILE_BLOCK_SIZE = 50974  # blocks within a tile that are stored one after the other
ROW_INTERLEAVE_FACTOR = 50975  # fields of rows that are stored one after the other
OPCODE_LIST_1 = 51008  # applied to the stored numbers
OPCODE_LIST_2 = 51009  # applied after linearisation
OPCODE_LIST_3 = 51022  # applied after demosaicing
NOISE_PROFILE = 51041  # (S, O): variance = S · x + O
NEW_RAW_IMAGE_DIGEST = 51111  # MD5 of the mosaic, tile by tile
CALIBRATION_ILLUMINANT_3 = 52529  # light under which ColorMatrix3 was measured
CAMERA_CALIBRATION_3 = 52530  # as CameraCalibration1, under that light
COLOR_MATRIX_3 = 52531  # as ColorMatrix1, under that light
COLUMN_INTERLEAVE_FACTOR = 52547  # fields of columns that are stored one after the other
JXL_DISTANCE = 52553  # how lossy a JPEG XL is; with the two after it, how it was made
JXL_EFFORT = 52554
JXL_DECODE_SPEED = 52555

# NewSubFileType.
MAIN_IMAGE = 0

REDUCED_IMAGE = 1

# PhotometricInterpretation.
BLACK_IS_ZERO = 1
RGB = 2
YCBCR = 6
COLOR_FILTER_ARRAY = 32803
LINEAR_RAW = 34892

# SampleFormat.
UNSIGNED_INTEGER = 1
FLOATING_POINT = 3

# Compression.
UNCOMPRESSED = 1
JPEG = 7  # lossless JPEG for a mosaic
DEFLATE = 8
VC5 = 9
OLD_DEFLATE = 32946
LOSSY_JPEG = 34892
JPEG_XL = 52546

# Predictor.
NO_PREDICTOR = 1
DIFFERENCES = 2  # of neighbours in a row
DIFFERENCES_X2 = 34892  # of those two columns apart: of one colour
DIFFERENCES_X4 = 34893  # of those four columns apart
