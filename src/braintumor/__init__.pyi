from braintumor._version import __version__ as __version__
from braintumor.workflows.api import compare as compare
from braintumor.workflows.api import evaluate as evaluate
from braintumor.workflows.api import load as load
from braintumor.workflows.api import predict as predict
from braintumor.workflows.api import read_data as read_data
from braintumor.workflows.api import train as train
from braintumor.workflows.api import tune as tune
